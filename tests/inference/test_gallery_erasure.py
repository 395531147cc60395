"""What is left of a removed user: nothing, in any file of the gallery."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.gallery_backends import START, Clock
from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.inference import gallery_erasure, gallery_file
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
    assert not report.proof.rewritten
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


def test_a_reader_in_the_way_is_reported_and_not_glossed_over(
    gallery: SqliteGallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_file, "LOG_SECONDS", 0.1)
    gallery.enrol(NAMES[0], voices(NAMES[0]))
    gallery._store.connection.execute("PRAGMA busy_timeout = 50")
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
    index = gallery._store.voices._index
    assert index is not None
    assert voices(NAMES[2])[:1].tobytes() in index._rows.tobytes()
    gallery.remove(NAMES[2])
    assert voices(NAMES[2])[:1].tobytes() not in index._rows.tobytes()
    assert voices(NAMES[4])[:1].tobytes() in index._rows.tobytes()


def test_the_proof_takes_as_many_pages_in_a_large_gallery_as_in_a_small_one(gallery: SqliteGallery) -> None:
    pages = []
    for user in NAMES:
        gallery.enrol(user, voices(user), details=details(user))
    for user in (NAMES[1], NAMES[2], NAMES[3]):  # the first one also takes what the log still holds
        report = gallery.erase(user)
        assert report is not None
        assert (report.proof.left, report.proof.rewritten) == (0, False)
        pages.append(report.proof.pages)
    (num_pages,) = gallery._store.connection.execute("PRAGMA page_count").fetchone()
    assert num_pages > 80
    assert max(pages[1:]) <= 15


def test_when_another_process_took_the_log_away_the_whole_file_is_searched(
    gallery: SqliteGallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in NAMES[:20]:
        gallery.enrol(user, voices(user))
    monkeypatch.setattr(gallery_erasure, "committed_pages", lambda path: {})
    traces = traces_of(NAMES[4], gallery)
    report = gallery.erase(NAMES[4])
    assert report is not None
    assert report.proof.pages == path.stat().st_size // 4096 > 20
    assert (report.proof.left, report.proof.rewritten) == (0, False)
    assert [trace for trace in traces if trace in on_disk(path)] == []


def test_what_still_is_in_the_file_is_found_and_the_file_written_anew(
    gallery: SqliteGallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the pages in the log had not been the right ones: a copy of the voice lies where nobody expects one."""
    for user in NAMES[:20]:
        gallery.enrol(user, voices(user))
    row = gallery.embeddings(NAMES[4])[0].tobytes()
    gallery._store.connection.execute("CREATE TABLE somewhere (else_)")
    gallery._store.connection.execute("INSERT INTO somewhere VALUES (?)", (row,))
    monkeypatch.setattr(gallery_erasure, "committed_pages", lambda path: {})
    report = gallery.erase(NAMES[4])
    assert report is not None
    assert (report.proof.rewritten, report.proof.left) == (True, 2)  # both ends of the row, which is still in use


def test_a_user_with_a_grace_time_stays_on_the_disk_until_it_is_over(path: Path, clock: Clock) -> None:
    with SqliteGallery.open(path, fingerprint="f", dim=DIM, clock=clock, grace=timedelta(seconds=5)) as gallery:
        gallery.enrol(NAMES[0], voices(NAMES[0]), details=details(NAMES[0]))
        gallery.enrol(NAMES[1], voices(NAMES[1]), details=details(NAMES[1]))
        traces = {user: traces_of(user, gallery) for user in NAMES[:2]}
        gallery.search(voices(NAMES[0])[0])
        gallery.remove(NAMES[0])
        gallery.remove(NAMES[1])
        assert all(trace in on_disk(path) for user in NAMES[:2] for trace in traces[user])
        gallery.enrol(NAMES[1], voices(NAMES[2]))  # anew: whoever could be restored is erased at once
        assert [trace for trace in traces[NAMES[1]] if trace in on_disk(path)] == [NAMES[1].encode()]
        clock.advance(5)
        gallery.enrol(NAMES[3], voices(NAMES[3]))
        assert [trace for trace in traces[NAMES[0]] if trace in on_disk(path)] == []


def test_recordings_are_sealed_and_leave_nothing(path: Path, clock: Clock) -> None:
    files = [np.random.default_rng(i).bytes(50_000 * i + 10) for i in range(3)]
    with SqliteGallery.open(
        path, fingerprint="f", dim=DIM, clock=clock, key=bytes(32), keep_recordings=True
    ) as gallery:
        for user in NAMES[:3]:
            gallery.enrol(user, voices(user), recordings=[*files])
        stored = [
            bytes(row)
            for (row,) in gallery._store.connection.execute("SELECT content FROM recordings WHERE user_id = 2")
        ]
        assert [file for file in files if file in b"".join(stored) or file[:30] in on_disk(path)] == []
        pieces = [row[start : start + 40] for row in stored for start in range(0, len(row) - 40, 1000)]
        assert sum(piece in on_disk(path) for piece in pieces) > 0.9 * len(pieces)  # the others lie on two pages
        report = gallery.erase(NAMES[1])
        assert report is not None
        assert (report.num_recordings, report.proof.left) == (3, 0)
        assert [piece for piece in pieces if piece in on_disk(path)] == []
        assert gallery.recordings(NAMES[2]) == files


def test_a_file_that_is_half_written_over_is_written_anew_and_shrinks(
    gallery: SqliteGallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_erasure, "COMPACT_BYTES", 10_000)
    for user in NAMES:
        gallery.enrol(user, voices(user), details=details(user))
    sizes, rewritten = [], 0
    for user in NAMES[:-1]:
        report = gallery.erase(user)
        assert report is not None
        assert report.proof.left == 0
        rewritten += report.proof.rewritten
        sizes.append(path.stat().st_size)
    assert 1 <= rewritten < 10
    assert sizes[-1] < sizes[0] / 2
    (num_rows,) = gallery._store.connection.execute("SELECT COUNT(*) FROM embeddings").fetchone()
    assert num_rows < len(NAMES) * 3 / 2
    assert gallery.users() == {NAMES[-1]: 3}
    np.testing.assert_allclose(gallery.embeddings(NAMES[-1]), voices(NAMES[-1]), atol=1e-6)
    assert gallery.search(voices(NAMES[-1])[0])[0].user == NAMES[-1]


def test_an_erasure_tells_of_the_copies(gallery: SqliteGallery) -> None:
    gallery.record_copy("export voices.safetensors")
    gallery.enrol(NAMES[0], voices(NAMES[0]))
    report = gallery.erase(NAMES[0])
    assert report is not None
    assert report.copies == ((START, "export voices.safetensors"),)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["enrol", "update", "remove"]), st.integers(0, 11), st.integers(0, 3000)),
    min_size=5,
    max_size=40,
)


@settings(max_examples=15, deadline=None)
@given(OPERATIONS)
def test_whatever_happened_before_a_removed_user_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("erasure") / "gallery.db"
    gone: dict[str, list[bytes]] = {}
    rng = np.random.default_rng(0)
    with SqliteGallery.open(path, fingerprint="f", dim=DIM) as gallery:
        for number, (operation, i, size) in enumerate(operations):
            user, text = f"<user-{i:04}>", rng.bytes(size // 2).hex()
            traces = gone.setdefault(user, [])
            if operation == "enrol":
                gallery.enrol(user, rng.standard_normal((1 + number % 4, DIM)), details=UserDetails({"note": text}))
                gone.setdefault(f"details of {user}", []).append(text[:32].encode() if size > 64 else b"-" * 32)
                traces.extend(row.tobytes()[:24] for row in gallery.embeddings(user)[-1 - number % 4 :])
            elif operation == "update" and gallery.update(user, UserDetails(consent=text)):
                traces.extend([text[:32].encode(), text[-32:].encode()] if size > 64 else [])
            elif operation == "remove" and (report := gallery.erase(user)) is not None:
                assert (report.proof.left, report.proof.rewritten) == (0, False)
                left = on_disk(path)
                assert [trace for trace in [*traces, *gone.get(f"details of {user}", [])] if trace in left] == []
        assert gallery._store.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_ever_in_two_places(gallery: SqliteGallery, path: Path, seed: int) -> None:
    """What the proof rests on: where rows never move, their pages are the only ones that held them."""
    rng = np.random.default_rng(seed)
    for number in range(400):
        user = NAMES[rng.integers(40)]
        if rng.random() < 0.4:
            gallery.remove(user)
        else:
            note = UserDetails(consent=f"<consent-{number:06}>" + "x" * int(rng.integers(2000)))
            gallery.enrol(user, rng.standard_normal((rng.integers(1, 5), DIM)), details=note)
    assert gallery.erase(NAMES[50]) is None
    gallery._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    for user in gallery.users():
        shown = gallery.enrolled(user)
        assert shown is not None
        consent = str(shown.details.consent)[:16].encode()
        traces = [user.encode(), consent, *(row.tobytes()[:24] for row in gallery.embeddings(user))]
        assert [content.count(trace) for trace in traces] == [1] * len(traces)
