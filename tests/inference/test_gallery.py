import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from speaker_id.contracts import FloatArray, Match
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery import SqliteGallery

DIM = 4
MODEL = "a" * 64
X, Y, Z, W = np.eye(DIM, dtype=np.float32)


def open_gallery(path: Path, fingerprint: str = MODEL, dim: int = DIM) -> SqliteGallery:
    return SqliteGallery.open(path, fingerprint=fingerprint, dim=dim)


def random_units(seed: int, num: int, dim: int = DIM) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((num, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(path: Path) -> Iterator[SqliteGallery]:
    with open_gallery(path) as opened:
        yield opened


def test_a_score_is_the_cosine_with_the_direction_of_the_users_mean(gallery: SqliteGallery) -> None:
    assert gallery.enrol("Ada", np.stack([X, Y])) == 2  # mean direction (1, 1, 0, 0) / sqrt(2)
    assert gallery.enrol("Bob", Z[None]) == 1
    ada, bob = gallery.search(X)
    assert (ada.user, bob) == ("Ada", Match("Bob", 0.0))
    assert ada.score == pytest.approx(1 / np.sqrt(2), abs=1e-7)
    # Adding X again moves the mean to (2, 1, 0, 0) / sqrt(5).
    assert gallery.enrol("Ada", X[None]) == 3
    assert gallery.search(X, limit=1)[0].score == pytest.approx(2 / np.sqrt(5), abs=1e-7)


def test_the_opposite_voice_scores_minus_one_and_comes_last(gallery: SqliteGallery) -> None:
    gallery.enrol("opposite", -X[None])
    gallery.enrol("same", X[None])
    gallery.enrol("other", Y[None])
    assert gallery.search(X) == [Match("same", 1.0), Match("other", 0.0), Match("opposite", -1.0)]


def test_lengths_of_vectors_do_not_count(gallery: SqliteGallery) -> None:
    gallery.enrol("Ada", np.stack([100 * X, 0.01 * Y]))
    assert gallery.search(7 * X)[0].score == pytest.approx(1 / np.sqrt(2), abs=1e-7)


def test_recordings_that_cancel_out_score_zero(gallery: SqliteGallery) -> None:
    gallery.enrol("Ada", np.stack([X, -X]))
    assert gallery.search(X) == [Match("Ada", 0.0)]


def test_equal_scores_come_in_order_of_names_wherever_they_are_stored(gallery: SqliteGallery) -> None:
    row = random_units(0, 1)
    names = [f"user {i:03}" for i in np.random.default_rng(1).permutation(100)]
    for name in names:
        gallery.enrol(name, row)
    found = gallery.search(random_units(1, 1)[0], limit=7)
    assert [match.user for match in found] == sorted(names)[:7]
    assert len({match.score for match in found}) == 1


def test_search_agrees_with_a_plain_comparison_of_everything(gallery: SqliteGallery) -> None:
    means = {}
    for i in range(60):
        rows = random_units(i, 1 + i % 4)
        gallery.enrol(f"user {i}", rows)
        mean = rows.astype(np.float64).sum(axis=0)
        means[f"user {i}"] = mean / np.linalg.norm(mean)
    for removed in ("user 0", "user 31", "user 59"):
        gallery.remove(removed)
        del means[removed]
    query = random_units(99, 1)[0]
    expected = sorted(((name, mean @ query) for name, mean in means.items()), key=lambda pair: -pair[1])
    for limit in (1, 5, len(means), 1000):
        found = gallery.search(query, limit=limit)
        assert [match.user for match in found] == [name for name, _ in expected[:limit]]
        np.testing.assert_allclose([match.score for match in found], [s for _, s in expected[:limit]], atol=1e-6)


def test_searching_before_between_and_after_changes_gives_the_same_as_a_fresh_reading(path: Path) -> None:
    with open_gallery(path) as warm:
        assert warm.search(X) == []
        for i in range(40):
            warm.enrol(f"user {i % 25}", random_units(i, 2))
            if i % 3 == 0:
                warm.remove(f"user {i // 2}")
            warm.search(X)
        with open_gallery(path) as fresh:
            assert warm.search(X, limit=50) == fresh.search(X, limit=50)


def test_what_was_enrolled_is_there_after_reopening(path: Path) -> None:
    with open_gallery(path) as gallery:
        gallery.enrol("Ada", np.stack([X, Y]))
        gallery.enrol("Bob", Z[None])
        gallery.remove("Bob")
    with open_gallery(path) as gallery:
        assert gallery.users() == {"Ada": 2}
        assert [match.user for match in gallery.search(X)] == ["Ada"]


def test_removing_says_whether_there_was_such_a_user(gallery: SqliteGallery) -> None:
    gallery.enrol("Ada", X[None])
    assert gallery.remove("ada") is False
    assert gallery.remove("Ada") is True
    assert gallery.remove("Ada") is False
    assert gallery.users() == {}
    assert gallery.search(X) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "C:\\con",
        "name'); DROP TABLE users; --",
        "👩‍🚀 名前",
        "two\nlines\r\n",
        "nul\0inside",
        " ",
        "\u00e9",
        "e\u0301",  # the same letter in two code points: another name, names are exact
        "%_*?",
        "long" * 250_000,
    ],
    ids=lambda name: ascii(name[:24]),
)
def test_any_text_is_a_name_and_comes_back_exactly(path: Path, name: str) -> None:
    with open_gallery(path) as gallery:
        gallery.enrol(name, X[None])
        gallery.enrol(name + "2", Y[None])
    with open_gallery(path) as gallery:
        assert gallery.users() == {name: 1, name + "2": 1}
        assert gallery.search(X, limit=1) == [Match(name, 1.0)]
        assert gallery.remove(name) is True
        assert gallery.users() == {name + "2": 1}
    assert sorted(file.name for file in path.parent.iterdir()) == ["gallery.db"]


@pytest.mark.parametrize(("name", "reason"), [("", "empty"), ("half \ud83d", "not valid Unicode")])
def test_a_name_that_is_no_text_is_refused(gallery: SqliteGallery, name: str, reason: str) -> None:
    for operation in (lambda: gallery.enrol(name, X[None]), lambda: gallery.remove(name)):
        with pytest.raises(GalleryError, match=reason):
            operation()
    assert gallery.users() == {}


@pytest.mark.parametrize(
    "embeddings",
    [
        X,
        np.zeros((1, DIM + 1)),
        np.zeros((0, DIM)),
        np.zeros((1, DIM)),
        np.stack([X, X * np.nan]),
        np.full((1, DIM), np.inf),
    ],
    ids=["one axis", "wrong size", "none", "zeros", "nan", "infinite"],
)
def test_embeddings_without_a_direction_are_refused_and_nothing_is_kept(
    gallery: SqliteGallery, embeddings: FloatArray
) -> None:
    with pytest.raises(GalleryError, match=r"shape|all zeros or not finite"):
        gallery.enrol("Ada", embeddings)
    assert gallery.users() == {}


def test_a_search_for_no_one_at_all_is_refused(gallery: SqliteGallery) -> None:
    with pytest.raises(GalleryError, match="at least one"):
        gallery.search(X, limit=0)


def test_embeddings_of_another_model_are_refused_naming_both(path: Path) -> None:
    open_gallery(path).close()
    with pytest.raises(GalleryError, match=r"aaaaaaaaaaaa .*bbbbbbbbbbbb .*another gallery file.*enrol"):
        open_gallery(path, fingerprint="b" * 64)
    with pytest.raises(GalleryError, match="another gallery file"):
        open_gallery(path, dim=DIM + 1)


def test_listing_and_removing_need_no_model(path: Path) -> None:
    with open_gallery(path) as gallery:
        gallery.enrol("Ada", X[None])
        gallery.enrol("Bob", Y[None])
    with SqliteGallery.open(path) as gallery:
        assert (gallery.fingerprint, gallery.dim) == (MODEL, DIM)
        assert gallery.users() == {"Ada": 1, "Bob": 1}
        assert gallery.remove("Ada") is True


def test_without_a_model_no_gallery_is_created(path: Path) -> None:
    with pytest.raises(GalleryError, match="there is no gallery"):
        SqliteGallery.open(path)
    assert not path.exists()
    path.touch()
    with pytest.raises(GalleryError, match="no gallery yet"):
        SqliteGallery.open(path)


def test_an_empty_file_becomes_a_gallery(path: Path) -> None:
    path.touch()
    with open_gallery(path) as gallery:
        assert gallery.enrol("Ada", X[None]) == 1


def test_only_the_owner_may_read_a_new_gallery(gallery: SqliteGallery, path: Path) -> None:
    gallery.enrol("Ada", X[None])
    for file in path.parent.glob("gallery.db*"):
        assert file.stat().st_mode & 0o077 == 0


def not_a_database(path: Path) -> None:
    path.write_bytes(b"RIFF" + bytes(4000))


def a_folder(path: Path) -> None:
    path.mkdir()


def another_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users (id)")
    connection.close()


def from_the_future(path: Path) -> None:
    open_gallery(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def cut_short(path: Path) -> None:
    with open_gallery(path) as gallery:
        for i in range(50):
            gallery.enrol(f"user {i}", random_units(i, 20))
    os.truncate(path, 4096)


@pytest.mark.parametrize("spoil", [not_a_database, a_folder, another_database, from_the_future, cut_short])
def test_a_file_that_is_no_gallery_raises_naming_it_and_is_left_alone(path: Path, spoil) -> None:
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(GalleryError, match=r"gallery\.db"), open_gallery(path) as gallery:
        gallery.users()
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_folder_that_does_not_exist_or_cannot_be_written_raises(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"missing/gallery\.db"):
        open_gallery(tmp_path / "missing" / "gallery.db")
    with pytest.raises(GalleryError, match=r"proc/gallery\.db"):
        open_gallery(Path("/proc/gallery.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_raises(path: Path) -> None:
    open_gallery(path).close()
    path.chmod(0o400)
    with pytest.raises(GalleryError, match=r"gallery\.db"), open_gallery(path) as gallery:
        gallery.enrol("Ada", X[None])


def test_damage_inside_the_file_raises_instead_of_answering(path: Path) -> None:
    with open_gallery(path) as gallery:
        gallery.enrol("Ada", X[None])
        gallery.enrol("Bob", Y[None])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE embeddings SET vector = x'0000803f' WHERE user_id = 1")
    connection.commit()
    connection.close()
    with open_gallery(path) as gallery, pytest.raises(GalleryError, match="damaged"):
        gallery.search(X)


def test_a_closed_gallery_says_so_and_closing_twice_is_fine(path: Path) -> None:
    gallery = open_gallery(path)
    gallery.close()
    gallery.close()
    with pytest.raises(GalleryError, match="closed"):
        gallery.users()


def test_two_openers_see_each_others_changes_at_once(path: Path) -> None:
    with open_gallery(path) as first, open_gallery(path) as second:
        assert first.search(X) == second.search(X) == []
        first.enrol("Ada", X[None])
        assert second.search(X) == [Match("Ada", 1.0)]
        second.enrol("Bob", Y[None])
        first.enrol("Cyd", Z[None])  # a change of its own must not hide the other's
        assert {match.user for match in first.search(X)} == {"Ada", "Bob", "Cyd"}
        second.remove("Ada")
        assert {match.user for match in first.search(X)} == {"Bob", "Cyd"}
        assert first.users() == {"Bob": 1, "Cyd": 1}


def test_every_commit_waits_for_the_disk(gallery: SqliteGallery) -> None:
    # No test can cut the power; these settings are what SQLite promises to survive it with.
    assert gallery._store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert gallery._store.connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_failed_enrolment_leaves_no_trace(gallery: SqliteGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.enrol("Ada", X[None])
    gallery.search(X)

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(gallery._store.users, "touch", disk_full)  # the last thing written before the commit
        with pytest.raises(GalleryError, match="No space left"):
            gallery.enrol("Bob", Y[None])
    assert gallery.users() == {"Ada": 1}
    assert gallery.search(Y) == [Match("Ada", 0.0)]
    assert gallery.enrol("Bob", Y[None]) == 1


def test_threads_share_one_gallery(gallery: SqliteGallery) -> None:
    def work(worker: int) -> None:
        for i in range(20):
            gallery.enrol(f"user {worker}-{i % 5}", random_units(worker * 100 + i, 1))
            assert gallery.search(X, limit=3)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert gallery.users() == {f"user {worker}-{i}": 4 for worker in range(4) for i in range(5)}


CHILD = """
import sys, numpy as np
from speaker_id.inference.gallery import SqliteGallery
path, tag, num = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
gallery = SqliteGallery.open(path, fingerprint="a" * 64, dim=4)
for i in range(num):
    kept = gallery.enrol(f"{tag}-{i}", np.eye(4, dtype=np.float32)[:3])
    assert kept == 3
    print(f"{tag}-{i}", flush=True)
"""


def start_child(path: Path, tag: str, num: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(path), tag, str(num)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_processes_may_create_and_fill_one_gallery_at_the_same_time(path: Path) -> None:
    children = [start_child(path, f"child{k}", 15) for k in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    with open_gallery(path) as gallery:
        assert gallery.users() == {f"child{k}-{i}": 3 for k in range(4) for i in range(15)}
