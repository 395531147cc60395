"""Copies of a gallery file in use."""

from pathlib import Path

import numpy as np
import pytest

from inference.gallery_backends import START, Clock
from speaker_id.errors import ConfigError
from speaker_id.inference.gallery import SqliteGallery

KEY = bytes(range(32))
X, Y, Z = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_backup_is_a_gallery_of_that_moment(tmp_path: Path, key: bytes | None) -> None:
    clock = Clock()
    path, copy = tmp_path / "gallery.db", tmp_path / "copy.db"
    with SqliteGallery.open(path, fingerprint="f", dim=3, key=key, clock=clock) as gallery:
        gallery.enrol("Ada", np.stack([X, Y]))
        gallery.search(X)
        gallery.backup(copy, by="night job")
        gallery.enrol("Bob", Z[None])
        assert gallery.copies() == [(START, f"backup {copy}")]
        assert (gallery.events()[1].action, gallery.events()[1].by) == ("copy", "night job")
        assert sorted(file.name for file in tmp_path.glob("*copy*")) == ["copy.db"]
        assert copy.stat().st_mode & 0o077 == 0
        with SqliteGallery.open(copy, fingerprint="f", dim=3, key=key, clock=clock) as opened:
            assert opened.users() == {"Ada": 2}
            assert opened.search(X)[0].user == "Ada"
            assert opened.copies() == gallery.copies()  # it knows of itself
            assert opened.events(user="Ada") == gallery.events(user="Ada")
        assert gallery.users() == {"Ada": 2, "Bob": 1}


def test_a_backup_goes_over_nothing_unless_told_to(tmp_path: Path) -> None:
    path, copy = tmp_path / "gallery.db", tmp_path / "copy.db"
    copy.write_bytes(b"precious")
    with SqliteGallery.open(path, fingerprint="f", dim=3) as gallery:
        gallery.enrol("Ada", X[None])
        for wrong, reason in ((copy, "exists already"), (tmp_path / "no" / "copy.db", "no folder"), (path, "itself")):
            with pytest.raises(ConfigError, match=reason):
                gallery.backup(wrong, replace=wrong != copy)
        assert gallery.copies() == []
        assert copy.read_bytes() == b"precious"
        gallery.backup(copy, replace=True)
    with SqliteGallery.open(copy) as opened:
        assert opened.users() == {"Ada": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "gallery.db"]
