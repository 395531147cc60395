"""What is left of a removed user: nothing, in any file of the gallery."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from inference.gallery_backends import START, Clock
from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.inference.gallery import SqliteGallery

DIM = 192
NAMES = [f"<user-{i:04}>" for i in range(120)]


def voices(user: str) -> FloatArray:
    rows = np.random.default_rng(NAMES.index(user)).standard_normal((3, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def details(user: str, **kwargs: object) -> UserDetails:
    return UserDetails({f"note of {user}": f"value of {user}"}, f"consent of {user}", **kwargs)  # type: ignore[arg-type]


def traces_of(user: str, gallery: SqliteGallery) -> list[bytes]:
    texts = [template.format(user).encode() for template in ("{}", "note of {}", "value of {}", "consent of {}")]
    return texts + [end for row in gallery.embeddings(user) for end in (row.tobytes()[:24], row.tobytes()[-24:])]


def on_disk(path: Path) -> bytes:
    """Everything in the gallery's folder."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path, clock: Clock) -> Iterator[SqliteGallery]:
    with SqliteGallery.open(path, fingerprint="f", dim=DIM, clock=clock) as opened:
        yield opened


def test_removed_users_leave_nothing_and_the_others_everything(gallery: SqliteGallery, path: Path) -> None:
    for user in NAMES:
        gallery.enrol(user, voices(user), details=details(user))
    traces = {user: traces_of(user, gallery) for user in NAMES}
    before = on_disk(path)
    assert all(trace in before for user in NAMES for trace in traces[user])
    gone, staying = [user for i, user in enumerate(NAMES) if i % 5], NAMES[::5]
    for user in gone:
        assert gallery.remove(user)
    left = on_disk(path)  # still open: nothing waits for the end of the process
    assert [trace for user in gone for trace in traces[user] if trace in left] == []
    assert all(trace in left for user in staying for trace in traces[user])


def test_erasing_proves_what_it_says(gallery: SqliteGallery, path: Path) -> None:
    for user in NAMES[:9]:
        gallery.enrol(user, voices(user))
    report = gallery.erase(NAMES[4])
    assert report is not None
    assert (report.user, report.num_recordings) == (NAMES[4], 3)
    assert report.proof.traces == 7  # two ends of three recordings, and the name
    assert report.proof.left == 0
    assert set(report.proof.searched) == set(path.parent.iterdir())
    assert gallery.erase(NAMES[4]) is None
    assert NAMES[4] not in gallery.users()


def test_what_a_program_without_secure_delete_left_behind_is_found_and_written_over(
    gallery: SqliteGallery, path: Path
) -> None:
    for user in NAMES[:9]:
        gallery.enrol(user, voices(user))
    trace = gallery.embeddings(NAMES[4]).tobytes()[:24]
    careless = sqlite3.connect(path)
    careless.execute("PRAGMA secure_delete = OFF")
    careless.execute("CREATE TABLE copy AS SELECT * FROM embeddings")
    careless.execute("DROP TABLE copy")
    careless.commit()
    careless.close()
    report = gallery.erase(NAMES[4])
    assert report is not None
    assert report.proof.rewritten
    assert report.proof.left == 0
    assert trace not in on_disk(path)
    assert gallery.users() == dict.fromkeys([*NAMES[:4], *NAMES[5:9]], 3)


def test_a_reader_in_the_way_is_reported_and_not_glossed_over(gallery: SqliteGallery, path: Path) -> None:
    gallery.enrol(NAMES[0], voices(NAMES[0]))
    gallery._connection.execute("PRAGMA busy_timeout = 50")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM users").fetchall()
    report = gallery.erase(NAMES[0])
    assert report is not None
    assert report.proof.left > 0
    assert not report.proof.rewritten  # in vain while the log cannot be emptied
    reader.execute("COMMIT")
    gallery.enrol(NAMES[1], voices(NAMES[1]))
    gallery.remove(NAMES[1])
    assert NAMES[0].encode() not in on_disk(path)
    reader.close()


def test_the_same_recording_under_another_name_is_no_trace(gallery: SqliteGallery) -> None:
    gallery.enrol("Ada of the first floor", voices(NAMES[0]))
    gallery.enrol("Ada of the first floor, again", voices(NAMES[0]))
    report = gallery.erase("Ada of the first floor")
    assert report is not None
    assert (report.num_recordings, report.proof.left, report.proof.rewritten) == (3, 0, False)
    assert gallery.users() == {"Ada of the first floor, again": 3}


def test_replaced_details_are_gone_from_the_disk(gallery: SqliteGallery, path: Path) -> None:
    gallery.enrol("Ada", voices(NAMES[0]), details=details("Ada"))
    assert b"consent of Ada" in on_disk(path)
    gallery.update("Ada", UserDetails())
    assert b"consent of Ada" not in on_disk(path)
    gallery.enrol("Ada", voices(NAMES[1]), details=details("Ada"))
    gallery.enrol("Ada", voices(NAMES[2]), details=UserDetails(consent="other"))
    assert b"consent of Ada" not in on_disk(path)


def test_an_expired_user_is_gone_from_the_disk_after_the_next_write(
    gallery: SqliteGallery, path: Path, clock: Clock
) -> None:
    user = NAMES[0]
    gallery.enrol(user, voices(user), details=details(user, expires=START + timedelta(seconds=1)))
    traces = traces_of(user, gallery)
    clock.advance(2)
    gallery.search(voices(user)[0])
    assert all(trace in on_disk(path) for trace in traces)  # a query erases nothing
    gallery.enrol(NAMES[1], voices(NAMES[1]))
    assert [trace for trace in traces if trace in on_disk(path)] == []


def test_a_removed_voice_leaves_the_memory_of_the_index_too(gallery: SqliteGallery) -> None:
    for user in NAMES[:5]:
        gallery.enrol(user, voices(user)[:1])
    gallery.search(voices(NAMES[0])[0])
    index = gallery._voices._index
    assert index is not None
    assert voices(NAMES[2])[:1].tobytes() in index._rows.tobytes()
    gallery.remove(NAMES[2])
    assert voices(NAMES[2])[:1].tobytes() not in index._rows.tobytes()
    assert voices(NAMES[4])[:1].tobytes() in index._rows.tobytes()
