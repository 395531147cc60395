"""Four writers of one gallery, killed with SIGKILL at random moments, over and over.

    python benchmarks/gallery_kill.py [--kills 200] [--writers 4] [--encrypted] [--seed 0] [--folder FOLDER]

Each writer enrols users of three recordings, then adds a fourth to some, changes the details of some, removes others
and enrols some of those again, and says so on its output once the call has returned. After each kill of all of them the
file has to open, pass SQLite's integrity check and hold every user as the last acknowledged call left it, or as the one
interrupted call would have: nobody lost, half there or back from removal. Ends with 1 at the first who is.
"""

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speaker_id.contracts import UserDetails
from speaker_id.inference.gallery import SqliteGallery

DIM = 192
KEY = bytes(range(32))
ROWS = np.random.default_rng(0).standard_normal((4, DIM))


class Held(NamedTuple):
    """What the gallery has of one user."""

    num_recordings: int
    consent: str = "-"


NOBODY = Held(0)
State = dict[str, Held]


def write(path: Path, tag: str, key: bytes | None) -> None:
    """Say what will be done, do it, say that it is done; until killed."""
    with SqliteGallery.open(path, fingerprint="kill", dim=DIM, key=key) as gallery:
        number = 0
        while True:
            for held, call in life(gallery, f"{tag}-{number}", number % 5):
                print("begin", f"{tag}-{number}", *held, flush=True)
                call()
                print("done", f"{tag}-{number}", *held, flush=True)
            number += 1


def life(gallery: SqliteGallery, user: str, kind: int) -> list[tuple[Held, Callable[[], object]]]:
    """One user's calls, each with what it leaves behind."""
    enrol = (Held(3), lambda: gallery.enrol(user, ROWS[:3]))
    add = (Held(4), lambda: gallery.enrol(user, ROWS[3:]))
    remove = (NOBODY, lambda: gallery.remove(user))
    agree = (Held(3, "form-1"), lambda: gallery.update(user, UserDetails(consent="form-1")))
    change = (Held(3, "form-2"), lambda: gallery.update(user, UserDetails(consent="form-2")))
    return [enrol, *([], [add], [remove], [agree, change], [remove, enrol])[kind]]


def kill_round(path: Path, number: int, args: argparse.Namespace, rng: random.Random) -> tuple[State, State]:
    """Start the writers, kill them all; what they acknowledged, and what each of them was in the middle of."""
    base = [sys.executable, __file__, "--path", str(path), *["--encrypted"] * args.encrypted]
    writers = [
        subprocess.Popen([*base, "--write", f"{number}-{i}"], stdout=subprocess.PIPE, text=True)
        for i in range(args.writers)
    ]
    first_lines = [writer.stdout.readline() for writer in writers]  # all of them are at work
    time.sleep(rng.uniform(0.0, 0.1))
    for writer in rng.sample(writers, len(writers)):
        writer.send_signal(signal.SIGKILL)
        time.sleep(rng.choice([0.0, 0.0, rng.uniform(0.0, 0.01)]))
    acknowledged: State = {}
    begun: State = {}
    for writer, line in zip(writers, first_lines, strict=True):
        output = line + writer.communicate()[0]
        for word, user, num, consent in (text.split() for text in output.split("\n")[:-1]):
            (acknowledged if word == "done" else begun)[user] = Held(int(num), consent)
    return acknowledged, {user: held for user, held in begun.items() if acknowledged.get(user) != held}


def check(path: Path, key: bytes | None, expected: State, begun: State) -> State:
    """Compare with the file, and take it as the truth for the next round."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with SqliteGallery.open(path, fingerprint="kill", dim=DIM, key=key) as gallery:
        counts = gallery.users()
        assert len(gallery.search(ROWS[0], limit=10**9)) == len(counts)
        held = {user: held_of(gallery, user) for user in counts}
    assert counts == {user: one.num_recordings for user, one in held.items()}
    for user in expected.keys() | begun.keys() | held.keys():
        allowed = {expected.get(user, NOBODY), begun.get(user, expected.get(user, NOBODY))}
        assert held.get(user, NOBODY) in allowed, f"{user} is {held.get(user, NOBODY)}, expected one of {allowed}"
    return held


def held_of(gallery: SqliteGallery, user: str) -> Held:
    enrolled = gallery.enrolled(user)
    assert enrolled is not None
    return Held(enrolled.num_recordings, enrolled.details.consent or "-")


def campaign(args: argparse.Namespace, folder: Path) -> None:
    path, key, rng = folder / "killed.db", KEY if args.encrypted else None, random.Random(args.seed)
    held: State = {}
    num_acknowledged = num_interrupted = 0
    for number in range(args.kills):
        acknowledged, begun = kill_round(path, number, args, rng)
        held = check(path, key, held | acknowledged, begun)
        num_acknowledged += len(acknowledged)
        num_interrupted += len(begun)
        if number % 20 == 19:
            print(f"  {number + 1} kills, {len(held)} users", flush=True)
    print(
        f"{args.kills} kills of {args.writers} writers each, {num_acknowledged} users with acknowledged calls, "
        f"{num_interrupted} calls interrupted: nothing lost, nobody half there, {len(held)} users in the file"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--folder", type=Path, help="a local disk")
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        write(args.path, args.write, KEY if args.encrypted else None)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        campaign(args, Path(folder))


if __name__ == "__main__":
    main()
