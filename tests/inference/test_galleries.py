"""One way to open any gallery."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.galleries import GalleryOptions, is_database, open_gallery, shown_location

X = np.eye(3, dtype=np.float32)[:1]


@pytest.mark.parametrize("as_given", [str, Path], ids=["text", "path"])
def test_a_path_is_a_gallery_file(tmp_path: Path, as_given: type) -> None:
    place = as_given(tmp_path / "gallery.db")
    with closing(open_gallery(place, fingerprint="f", dim=3)) as gallery:
        gallery.enrol("Ada", X)
    with closing(open_gallery(place)) as gallery:
        assert gallery.users() == {"Ada": 1}
        assert not gallery.keeps_recordings


def test_options_reach_the_gallery(tmp_path: Path) -> None:
    place = tmp_path / "gallery.db"
    with closing(open_gallery(place, fingerprint="f", dim=3, options=GalleryOptions(best=1, key=bytes(32)))) as gallery:
        gallery.enrol("Ada", np.eye(3))
        assert gallery.search(X[0])[0].score == 1.0  # the mean voice would score 0.58
    with pytest.raises(GalleryError, match="encrypted"):
        open_gallery(place)


def test_an_option_for_databases_is_refused_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PostgreSQL"):
        open_gallery(tmp_path / "gallery.db", fingerprint="f", dim=3, options=GalleryOptions(hnsw=True))
    assert not (tmp_path / "gallery.db").exists()


def test_a_location_is_shown_without_its_password() -> None:
    for location, shown in {
        "gallery.db": "gallery.db",
        "C:\\voices\\gallery.db": "C:\\voices\\gallery.db",
        "postgresql://ana:p%40ss@db.example:5432/voices": "postgresql://ana@db.example:5432/voices",
        "postgres://ana:a@b:c@db/voices?sslmode=require&password=hidden": "postgres://ana@db/voices",
        "POSTGRESQL://db/voices": "postgresql://db/voices",
        "postgresql:///voices?host=/run/pg&password=hidden": "postgresql:///voices",
        "postgresql://db/voices?password=hidden&gallery=door&sslmode=require": "postgresql://db/voices?gallery=door",
        "postgresql://ana:p/ss@db/voices": "postgresql://ana@db/voices",
        "postgresql://ana:p?ss@db/voices": "postgresql://ana",
        "postgresql://ana:p@[::1]:5432/voices": "postgresql://ana@[::1]:5432/voices",
        "postgresql://db-1:5432,db-2:5433/voices": "postgresql://db-1:5432,db-2:5433/voices",
    }.items():
        assert shown_location(location) == shown
        assert is_database(location) == location.lower().startswith("postgres")
    assert shown_location(Path("postgresql://ana:secret@db/v")) == "postgresql:/ana:secret@db/v"  # a path, and odd
