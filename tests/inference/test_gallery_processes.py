"""One gallery file and several processes."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speaker_id.inference import gallery_file
from speaker_id.inference.gallery import SqliteGallery

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "gallery_kill.py"
X, Y, Z = np.eye(3, dtype=np.float32)

# Answers each line with the names found at that moment; opened once, searched before anything is enrolled.
READER = """
import sys
from speaker_id.inference.gallery import SqliteGallery
with SqliteGallery.open(sys.argv[1], fingerprint="f", dim=3) as gallery:
    gallery.search([1, 0, 0])
    print("ready", flush=True)
    for _ in sys.stdin:
        print(*(match.user for match in gallery.search([1, 0, 0])), flush=True)
"""

# Writes users of three recordings until told to stop.
WRITER = """
import sys, threading, numpy as np
from speaker_id.inference.gallery import SqliteGallery
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
with SqliteGallery.open(sys.argv[1], fingerprint="f", dim=3) as gallery:
    num = 0
    while not stop.is_set():
        gallery.enrol(f"user {num}", np.eye(3))
        num += 1
    print(num, flush=True)
"""

# Enrols and erases users, and says how many erasures were not proven, and how often the file was written anew.
ERASER = """
import sys, numpy as np
from speaker_id.inference import gallery_file
from speaker_id.inference.gallery import SqliteGallery
gallery_file.LOG_SECONDS = 30.0  # however busy the machine is
with SqliteGallery.open(sys.argv[1], fingerprint="f", dim=192) as gallery:
    sys.stdin.readline()
    rng, left, rewritten = np.random.default_rng(), 0, 0
    for i in range(15):
        user = f"user number {i} of {rng.bytes(8).hex()}"
        gallery.enrol(user, rng.standard_normal((2, 192)))
        proof = gallery.erase(user).proof
        left, rewritten = left + (proof.left > 0), rewritten + proof.rewritten
    print(left, rewritten, flush=True)
"""


def started(script: str, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().split()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


def test_a_change_is_seen_at_the_next_call_of_another_process(path: Path) -> None:
    with SqliteGallery.open(path, fingerprint="f", dim=3) as gallery, started(READER, path) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        assert ask(reader) == []
        gallery.enrol("Ada", X[None])
        assert ask(reader) == ["Ada"]
        gallery.enrol("Bob", np.stack([X, Y]))
        assert ask(reader) == ["Ada", "Bob"]
        gallery.enrol("Ada", -X[None])
        assert ask(reader) == ["Bob", "Ada"]
        gallery.remove("Bob")
        assert ask(reader) == ["Ada"]
        assert reader.stdin is not None
        reader.stdin.close()


def test_readers_see_whole_users_while_a_process_writes(path: Path) -> None:
    SqliteGallery.open(path, fingerprint="f", dim=3).close()
    with started(WRITER, path) as writer, SqliteGallery.open(path) as first, SqliteGallery.open(path) as second:
        seen = 0
        while seen < 40:
            users = first.users()
            assert set(users.values()) <= {3}
            assert len(users) >= seen
            seen = len(users)
            found = second.search(X, limit=10**6)
            assert len(found) >= seen
            assert {round(match.score, 6) for match in found} <= {round(1 / np.sqrt(3), 6)}
        [num] = ask(writer)
        assert len(first.users()) == int(num)


def test_a_gallery_is_opened_and_read_while_another_process_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteGallery.open(path, fingerprint="f", dim=3).close()
    monkeypatch.setattr(gallery_file, "BUSY_SECONDS", 0.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with SqliteGallery.open(path, fingerprint="f", dim=3) as gallery:
            assert gallery.users() == {}


def test_processes_that_erase_at_once_all_prove_it_and_leave_nothing(path: Path) -> None:
    with SqliteGallery.open(path, fingerprint="f", dim=192) as gallery:
        gallery.enrol("Ada", np.random.default_rng(0).standard_normal((2, 192)))
        erasers = [started(ERASER, path) for _ in range(3)]
        for eraser in erasers:
            assert eraser.stdin is not None
            eraser.stdin.write("go\n")
            eraser.stdin.flush()
        assert [eraser.communicate(timeout=100)[0] for eraser in erasers] == ["0 0\n"] * 3
        assert gallery.users() == {"Ada": 2}
        assert len(gallery.events(limit=1000)) == 1 + 3 * 15 * 3
        assert b"user number" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("call", ["enrol", "remove", "erase", "rotate_key"])
def test_no_call_lets_go_of_the_locks_that_keep_other_processes_from_taking_the_log_away(path: Path, call: str) -> None:
    """POSIX locks go when a process closes the file, by any handle; an SQLite that sees none believes it is alone."""
    with SqliteGallery.open(path, fingerprint="f", dim=3) as gallery:
        gallery.enrol("Ada Lovelace", X[None])
        arguments = {"enrol": ("Bob", Y[None]), "rotate_key": (None, bytes(32))}.get(call, ("Ada Lovelace",))
        getattr(gallery, call)(*arguments)
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM users').fetchall()"
        subprocess.run([sys.executable, "-c", f"{script}; c.close()", str(path)], check=True)
        assert path.with_name("gallery.db-wal").exists()
    assert not path.with_name("gallery.db-wal").exists()  # we were the last


@pytest.mark.slow
def test_ten_kills_under_four_writers_lose_nothing_that_was_acknowledged(path: Path) -> None:
    command = [sys.executable, str(CAMPAIGN), "--kills", "10", "--folder", str(path.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 kills" in done.stdout
