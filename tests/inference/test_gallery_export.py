import json
from datetime import UTC, datetime
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
    ((user, details, embeddings, enrolled, recordings),) = export.users
    assert (user, details, recordings) == ("Ada", UserDetails(), None)
    assert enrolled == datetime(2026, 1, 1, tzinfo=UTC)
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
        {"users": [ADA | {"enrolled": "once"}]},
        {"users": [{"user": "Ada"}]},
        {"users": 5},
        {"users": b"{"},
        {"users": b"\xff\xfe"},
        {"users": b"[" * 100_000},
    ],
    ids=range(21),
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


def test_recordings_travel_where_they_are_asked_for(tmp_path: Path) -> None:
    secret = {"key": bytes(32), "keep_recordings": True}
    with SqliteGallery.open(tmp_path / "g.db", fingerprint="a" * 64, dim=4, **secret) as gallery:
        gallery.enrol("Ada", ROWS, recordings=[b"first", None])
        gallery.enrol("Bob", ROWS[:1])
        gallery.enrol("Cyd", ROWS, recordings=[b"second file", b"x"])
        write_export(gallery, tmp_path / "x", with_recordings=True, by="me")
        write_export(gallery, tmp_path / "y")
        assert [copy.description for copy in gallery.copies()] == [
            f"export {tmp_path / 'y'}",
            f"export {tmp_path / 'x'}",
        ]
        assert gallery.events()[1].by == "me"
        before = {user: gallery.enrolled(user) for user in gallery.users()}
    kept = {"Ada": [b"first", None], "Bob": [None], "Cyd": [b"second file", b"x"]}
    with SqliteGallery.open(tmp_path / "new.db", fingerprint="a" * 64, dim=4, **secret) as new:
        list(import_export(read_export(tmp_path / "x"), new, add=False, dry_run=False, by="you"))
        assert {user: new.recordings(user) for user in kept} == kept
        assert all(new.enrolled(user).enrolled == before[user].enrolled for user in kept)  # type: ignore[union-attr]
        assert {(event.action, event.by) for event in new.events()} == {("import", "you")}
    with SqliteGallery.open(tmp_path / "plain.db", fingerprint="a" * 64, dim=4) as plain:
        list(import_export(read_export(tmp_path / "x"), plain, add=False, dry_run=False))
        assert plain.recordings("Cyd") == [None, None]
    assert b"second file" in (tmp_path / "x").read_bytes()
    assert b"second file" not in (tmp_path / "y").read_bytes()
    assert [user.recordings for user in read_export(tmp_path / "y").users] == [None] * 3


def test_an_export_that_was_not_written_is_not_noted(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"precious")
    with SqliteGallery.open(tmp_path / "g.db", fingerprint="a" * 64, dim=4) as gallery:
        with pytest.raises(ConfigError, match="exists already"):
            write_export(gallery, tmp_path / "x")
        assert gallery.copies() == []


@pytest.mark.parametrize("sizes", [[5, 7], [5], [13], [0, 12], [-1, 13], [2.0, 10], "12", None, 12])
def test_sizes_of_recordings_that_do_not_add_up_are_refused(tmp_path: Path, sizes: Any) -> None:
    text = json.dumps([ADA | {"recordings": sizes}]).encode()
    files = np.frombuffer(b"twelve bytes", np.uint8)
    tensors = {"embeddings": ROWS, "users": np.frombuffer(text, np.uint8), "recordings": files}
    (tmp_path / "x").write_bytes(save(tensors, metadata=HEADER))
    if sizes == [5, 7]:
        assert read_export(tmp_path / "x").users[0].recordings == (b"twelv", b"e bytes")
        return
    with pytest.raises(GalleryError, match="damaged"):
        read_export(tmp_path / "x")


def test_the_time_of_enrolment_is_kept_and_one_to_come_keeps_its_user_out(tmp_path: Path) -> None:
    later = [ADA, ADA | {"user": "Bob", "enrolled": "2999-01-01T00:00:00+00:00"}]
    export = read_export(written(tmp_path / "x", later, np.concatenate([ROWS, ROWS])))
    with SqliteGallery.open(tmp_path / "g.db", fingerprint="a" * 64, dim=4) as gallery:
        outcomes = list(import_export(export, gallery, add=False, dry_run=False))
        assert [outcome.verdict for outcome in outcomes] == ["imported", "refused"]
        assert "yet to come" in outcomes[1].reasons[0]
        shown = gallery.enrolled("Ada")
        assert shown is not None
        assert shown.enrolled == datetime(2026, 1, 1, tzinfo=UTC)


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
