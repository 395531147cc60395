import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from speaker_id.contracts import UserDetails
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.gallery_export import read_export, write_export
from speaker_id.inference.gallery_import import import_export
from speaker_id.inference.private_file import write_private

HEADER = {"format": "speaker_id gallery", "version": "1", "fingerprint": "a" * 64}
ADA = {
    "user": "Ada", "num_recordings": 2, "enrolled": "2026-01-01T00:00:00+00:00", "changed": "2026-01-01T00:00:00+00:00",
    "metadata": {}, "consent": None, "expires": None,
}  # fmt: skip
ROWS = np.eye(4, dtype=np.float32)[:2]


def written(path: Path, users: Any = (ADA,), rows: Any = ROWS, header: dict[str, str] | None = None) -> Path:
    text = users if isinstance(users, bytes) else json.dumps(users).encode()
    tensors = {"embeddings": np.asarray(rows), "users": np.frombuffer(text, np.uint8)}
    path.write_bytes(save(tensors, metadata=HEADER if header is None else header))
    return path


def test_the_format_by_hand(tmp_path: Path) -> None:
    export = read_export(written(tmp_path / "x"))
    assert (export.fingerprint, export.dim) == ("a" * 64, 4)
    ((user, details, embeddings),) = export.users
    assert (user, details) == ("Ada", UserDetails())
    np.testing.assert_array_equal(embeddings, ROWS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"header": {}},
        {"header": HEADER | {"version": "2"}},
        {"header": {"format": HEADER["format"], "version": "1"}},
        {"rows": ROWS[:1]},
        {"rows": ROWS[0]},
        {"rows": ROWS.astype(np.float64)},
        {"rows": 2 * ROWS},
        {"rows": ROWS * np.float32(np.nan)},
        {"users": [ADA, ADA], "rows": np.eye(4, dtype=np.float32)},
        {"users": [ADA | {"num_recordings": 3}]},
        {"users": [ADA | {"num_recordings": -2}, ADA | {"user": "Bob", "num_recordings": 4}]},
        {"users": [ADA | {"num_recordings": 2.0}]},
        {"users": [ADA | {"user": 7}]},
        {"users": [ADA | {"metadata": "text"}]},
        {"users": [ADA | {"expires": "soon"}]},
        {"users": [{"user": "Ada"}]},
        {"users": 5},
        {"users": b"{"},
        {"users": b"\xff\xfe"},
        {"users": b"[" * 100_000},
    ],
    ids=range(20),
)
def test_anything_else_is_an_error_of_ours(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(GalleryError, match=str(tmp_path / "x")):
        read_export(written(tmp_path / "x", **wrong))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "x").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(GalleryError):
            read_export(tmp_path / "x")


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    path = written(tmp_path_factory.mktemp("export") / "x")
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        export = read_export(path)
    except GalleryError:
        return
    assert sum(len(user.embeddings) for user in export.users) == 2


def test_what_is_in_the_file_and_nothing_else(tmp_path: Path) -> None:
    with SqliteGallery.open(tmp_path / "g.db", fingerprint="a" * 64, dim=4) as gallery:
        gallery.enrol("Ada", ROWS, details=UserDetails({"k": "v"}, "yes"))
        assert write_export(gallery, tmp_path / "x") == (1, 2)
    tensors = load((tmp_path / "x").read_bytes())
    assert set(tensors) == {"embeddings", "users"}
    np.testing.assert_array_equal(tensors["embeddings"], ROWS)
    (entry,) = json.loads(tensors["users"].tobytes())
    assert set(entry) == set(ADA)
    assert (entry["user"], entry["metadata"], entry["consent"]) == ("Ada", {"k": "v"}, "yes")


def test_details_that_the_gallery_would_not_take_keep_their_user_out(tmp_path: Path) -> None:
    bad = [ADA | {"num_recordings": 1, "metadata": {"k": 1}}, ADA | {"num_recordings": 1, "user": ""}]
    export = read_export(written(tmp_path / "x", bad))
    with SqliteGallery.open(tmp_path / "g.db", fingerprint="a" * 64, dim=4) as gallery:
        outcomes = list(import_export(export, gallery, add=False, dry_run=False))
        assert [outcome.verdict for outcome in outcomes] == ["refused", "refused"]
        assert gallery.users() == {}


def test_the_other_models_gallery_is_refused_by_the_library_too(tmp_path: Path) -> None:
    export = read_export(written(tmp_path / "x"))
    with (
        SqliteGallery.open(tmp_path / "g.db", fingerprint="b" * 64, dim=4) as gallery,
        pytest.raises(GalleryError, match="a gallery of its own"),
    ):
        list(import_export(export, gallery, add=False, dry_run=True))


def test_a_private_file_is_not_written_over_another(tmp_path: Path) -> None:
    write_private(tmp_path / "x", b"mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_private(tmp_path / "x", b"yours")
    write_private(tmp_path / "x", b"both", replace=True)
    assert (tmp_path / "x").read_bytes() == b"both"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
