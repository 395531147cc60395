"""Four writers of one gallery, killed with SIGKILL at random moments, over and over.

    python benchmarks/gallery_kill.py [--kills 200] [--writers 4] [--encrypted] [--seed 0] [--folder FOLDER]

Each writer enrols users of three recordings, adds a fourth to some and removes others, and says so on its output once
the call has returned. After each kill of all of them the file has to open, pass SQLite's integrity check and hold
every user whose enrolment was acknowledged, none whose removal was, and nobody with another number of recordings than
an acknowledged or the one interrupted call explains. Ends with 1 at the first loss.
"""

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from speaker_id.inference.gallery import SqliteGallery

DIM = 192
KEY = bytes(range(32))
ROWS = np.random.default_rng(0).standard_normal((4, DIM))

State = dict[str, int]  # user -> recordings


def write(path: Path, tag: str, key: bytes | None) -> None:
    """Say what will be done, do it, say that it is done; until killed."""
    with SqliteGallery.open(path, fingerprint="kill", dim=DIM, key=key) as gallery:
        number = 0
        while True:
            user = f"{tag}-{number}"
            step(f"set {user} 3", lambda: gallery.enrol(user, ROWS[:3]))  # noqa: B023 (called at once)
            if number % 3 == 1:
                step(f"set {user} 4", lambda: gallery.enrol(user, ROWS[3:]))  # noqa: B023
            if number % 3 == 2:
                step(f"set {user} 0", lambda: gallery.remove(user))  # noqa: B023
            number += 1


def step(what: str, call: object) -> None:
    print("begin", what, flush=True)
    call()  # type: ignore[operator]
    print("done", what, flush=True)


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
        for word, _, user, num in (text.split() for text in output.split("\n")[:-1]):
            (acknowledged if word == "done" else begun)[user] = int(num)
    return acknowledged, {user: num for user, num in begun.items() if acknowledged.get(user) != num}


def check(path: Path, key: bytes | None, acknowledged: State, begun: State) -> State:
    """Compare with the file, and take it as the truth for the next round."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    with SqliteGallery.open(path, fingerprint="kill", dim=DIM, key=key) as gallery:
        held = gallery.users()
        assert len(gallery.search(ROWS[0], limit=10**9)) == len(held)
    for user in acknowledged.keys() | begun.keys() | held.keys():
        allowed = {acknowledged.get(user, 0), begun.get(user, acknowledged.get(user, 0))}
        assert held.get(user, 0) in allowed, f"{user} has {held.get(user, 0)} recordings, expected one of {allowed}"
    return held


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
