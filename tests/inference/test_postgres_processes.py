"""One gallery in PostgreSQL and several processes."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from inference.postgres_server import new_url
from speaker_id.inference.postgres.gallery import PostgresGallery

X, Y, Z = np.eye(3, dtype=np.float32)

# Answers each line with the names found at that moment; opened once, searched before anything is enrolled.
READER = """
import sys
from speaker_id.inference.galleries import open_gallery
gallery = open_gallery(sys.argv[1])
gallery.search([1, 0, 0])
print("ready", flush=True)
for _ in sys.stdin:
    print(*(match.user for match in gallery.search([1, 0, 0])), flush=True)
"""

# Enrols users of three recordings, gives some a fourth and removes others; says what it begins and what is done.
WRITER = """
import sys, numpy as np
from itertools import count
from speaker_id.inference.galleries import open_gallery
gallery, tag = open_gallery(sys.argv[1]), sys.argv[2]
def step(user, num, call, *arguments):
    print("begin", user, num, flush=True)
    call(*arguments)
    print("done", user, num, flush=True)
for number in count():
    user = f"{tag}-{number}"
    step(user, 3, gallery.enrol, user, np.eye(3))
    if number % 3 == 1:
        step(user, 4, gallery.enrol, user, np.eye(3)[:1])
    if number % 3 == 2:
        step(user, 0, gallery.remove, user)
"""


def started(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().split()


@pytest.fixture
def url() -> str:
    return new_url()


def test_a_change_is_seen_at_the_next_call_of_another_process(url: str) -> None:
    with PostgresGallery.open(url, fingerprint="f", dim=3) as gallery, started(READER, url) as reader:
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


@pytest.mark.slow
def test_writers_that_are_killed_lose_nothing_acknowledged_and_leave_no_half_user(url: str) -> None:
    with PostgresGallery.open(url, fingerprint="f", dim=3) as gallery:
        writers = [started(WRITER, url, tag) for tag in "abc"]
        first = [writer.stdout.readline() for writer in writers]  # all of them are at work
        seen = 0
        for writer in writers:  # the others go on while one is gone
            while gallery.num_users() < seen + 10:
                assert set(gallery.users().values()) <= {3, 4}
                assert len(gallery.search(X, limit=10**6)) >= seen // 2  # two of three users stay
                time.sleep(0.01)
            seen = gallery.num_users()
            writer.send_signal(signal.SIGKILL)
        acknowledged: dict[str, int] = {}
        begun: dict[str, int] = {}
        for writer, line in zip(writers, first, strict=True):
            with writer:
                lines = (line + writer.stdout.read()).split("\n")[:-1]
            for word, user, num in map(str.split, lines):
                (acknowledged if word == "done" else begun)[user] = int(num)
        assert len(acknowledged) > 20
        held = gallery.users()
        for user in acknowledged.keys() | begun.keys() | held.keys():
            before = acknowledged.get(user, 0)
            assert held.get(user, 0) in {before, begun.get(user, before)}, user
        assert len(gallery.search(X, limit=10**6)) == len(held)
        gallery.enrol("afterwards", Z[None])  # nobody holds a lock
