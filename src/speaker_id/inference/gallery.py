"""Enrolled users in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, GalleryCopy, GalleryEvent, Match, UserDetails
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.gallery_backup import write_backup
from speaker_id.inference.gallery_erasure import NOTHING, Erasure, Proof, WrittenOver, compact, prove_erased
from speaker_id.inference.gallery_events import EventTable
from speaker_id.inference.gallery_file import (
    GalleryFile,
    gallery_errors,
    num_free_pages,
    open_file,
    transaction,
    write_anew,
)
from speaker_id.inference.gallery_index import Found
from speaker_id.inference.gallery_listing import UserList
from speaker_id.inference.gallery_reader import VoiceReader
from speaker_id.inference.gallery_records import (
    as_text,
    check_best,
    check_details,
    check_enrolled,
    check_grace,
    check_limit,
    check_recordings,
    merged,
    unit_rows,
    utc_now,
)
from speaker_id.inference.gallery_rotation import seal_anew
from speaker_id.inference.gallery_seal import KeySource, open_seal
from speaker_id.inference.gallery_users import Change, UserTable
from speaker_id.inference.names import encode_name
from speaker_id.inference.private_file import refuse_existing


class SqliteGallery:
    """The gallery contract over one file on a local disk (WAL needs shared memory: no network file systems).

    An acknowledged change is on the disk: it survives a killed process and a power cut. Any number of threads and
    processes may share the file; each sees the others' changes at its next call. After `fork`, open anew.

    With a key, embeddings, names, metadata and consent are sealed on the disk, and recordings are never there without
    one. Readable stay: how many users and recordings there are, when they were enrolled and changed and when they
    expire, what was done when (not to whom, nor by whom), and the model's fingerprint.
    """

    def __init__(
        self,
        file: GalleryFile,
        *,
        best: int | None,
        grace: timedelta,
        keep_recordings: bool,
        clock: Callable[[], datetime],
    ) -> None:
        """Use `SqliteGallery.open`."""
        self.path = file.path
        self.fingerprint = file.fingerprint
        self.dim = file.dim
        self.best = best
        self.grace = grace
        self.keeps_recordings = keep_recordings
        self._clock = clock
        self._lock = threading.Lock()
        self._use(file)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        fingerprint: str | None = None,
        dim: int | None = None,
        best: int | None = None,
        key: KeySource | None = None,
        grace: timedelta = timedelta(0),
        keep_recordings: bool = False,
        clock: Callable[[], datetime] = utc_now,
    ) -> SqliteGallery:
        """Open a gallery; with `fingerprint` and `dim` (E) of a model, create it where there is none.

        Without them an existing gallery opens for what needs no model: `users` and `remove`. `best=None` scores by
        the cosine with a user's mean direction, `best=k` by the mean of the k best cosines with that user's
        recordings. `key` is 32 bytes, a file that holds them, or "env:NAME"; a new gallery is encrypted with it.
        `grace` is how long what this gallery removes can be restored. `keep_recordings` stores those given to `enrol`,
        which takes a key. A gallery of an older version is brought to this one, all or nothing. `clock` tells the time
        in UTC. Raises GalleryError when the file is something else, cannot be written, holds the embeddings of another
        model or is encrypted with another key.
        """
        check_best(best)
        check_grace(grace)
        if keep_recordings and key is None:
            raise GalleryError("recordings are kept encrypted only: give a key, or do not ask to keep them")
        file = open_file(path, fingerprint, dim, key)
        return cls(file, best=best, grace=grace, keep_recordings=keep_recordings, clock=clock)

    def enrol(
        self,
        user: str,
        embeddings: FloatArray,
        *,
        details: UserDetails | None = None,
        recordings: Sequence[bytes | None] | None = None,
        enrolled: datetime | None = None,
        by: str | None = None,
    ) -> int:
        """Keep recordings of a user: unit rows (n, E). Returns the number kept of that user now; all or nothing.

        `details` are merged into those there were, `recordings` are their files, `enrolled` is when they were first
        kept elsewhere. Whoever was removed under this name, and could be restored, is erased.
        """
        name = encode_name(user)
        rows = unit_rows(embeddings, self.dim)
        check_recordings(recordings, len(rows), self.keeps_recordings)
        now = self._clock()
        checked = details and check_details(details, now)
        first = as_text(check_enrolled(enrolled, now))
        with self._write() as change:
            if (removed := self._users.find_removed(name)) is not None:
                self._erase(removed, "erase", change, by)
            user_id = self._users.find(name) or self._users.add(name, first, change)
            kept = self._users.add_vectors(user_id, [row.tobytes() for row in rows], recordings, first)
            if checked is not None:
                self._users.set_details(user_id, merged(self._users.details(user_id), checked), change)
            self._log(user_id, "enrol" if enrolled is None else "import", change, num_recordings=len(rows), by=by)
            self._users.touch(user_id, first, change)
        self._prove(change)
        return kept

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> bool:
        """Replace a user's details; False if there is none of that name."""
        name = encode_name(user)
        checked = check_details(details, self._clock())
        with self._write() as change:
            if (user_id := self._users.find(name)) is not None:
                self._users.set_details(user_id, checked, change)
                self._log(user_id, "update", change, by=by)
                self._users.touch(user_id, change.now, change)
        self._prove(change)
        return user_id is not None

    def remove(self, user: str, *, by: str | None = None) -> bool:
        """Take a user out of everything at once; False if there is none of that name.

        With a grace time the user can be restored until it is over, and the next write then erases; without one the
        user is erased now, as `erase` does.
        """
        if not self.grace:
            return self.erase(user, by=by) is not None
        name = encode_name(user)
        with self._write() as change:
            if (user_id := self._users.find(name)) is not None:
                self._log(user_id, "remove", change, num_recordings=self._users.num_recordings(user_id), by=by)
                self._users.hide(user_id, as_text(self._clock() + self.grace), change)
        self._prove(change)
        return user_id is not None

    def restore(self, user: str, *, by: str | None = None) -> bool:
        """Undo `remove`, with everything as it was; False once the grace time is over, or the name enrolled anew."""
        name = encode_name(user)
        with self._write() as change:
            if (user_id := self._users.find_removed(name)) is not None:
                self._log(user_id, "restore", change, num_recordings=self._users.num_recordings(user_id), by=by)
                self._users.show(user_id, change)
        self._prove(change)
        return user_id is not None

    def erase(self, user: str, *, by: str | None = None) -> Erasure | None:
        """Erase a user now, removed before or not, and prove it; None if there is none of that name.

        The bytes are written over in the file, the log is emptied, this process's memory of the voice is overwritten,
        and the pages that held the user are searched for what was stored. Should anything be left, or could it ever
        have been elsewhere in the file, the whole file is written anew. That apart, the time it takes does not depend
        on the file's size. `proof.left` is not 0 while another process is in the middle of a long reading: the log is
        then emptied at the next such call, or when the file is last closed.

        Out of reach are the `copies` made before, what a journalling or copy-on-write file system keeps, blocks that
        an SSD has set aside, and swap. With a key, destroying the key reaches those too.
        """
        name = encode_name(user)
        num_recordings, copies = 0, []
        with self._write() as change:
            there = self._users.find(name)
            user_id = self._users.find_removed(name) if there is None else there
            if user_id is not None:
                copies = self._events.copies()
                num_recordings = self._users.num_recordings(user_id)
                if there is not None:
                    self._log(user_id, "remove", change, num_recordings=num_recordings, by=by)
                self._erase(user_id, "erase", change, by)
        proof = self._prove(change)
        return None if user_id is None else Erasure(user, num_recordings, proof, tuple(copies))

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        with self._reading() as (_, now):
            return self._list.users(now)

    def num_users(self) -> int:
        """How many users there are, without reading their names."""
        with self._reading() as (_, now):
            return self._list.num_users(now)

    def enrolled(self, user: str) -> Enrolled | None:
        """One user with details and times; None if there is none of that name."""
        with self._reading() as (_, now):
            return self._list.enrolled(user, encode_name(user), now)

    def embeddings(self, user: str) -> FloatArray:
        """What is kept of a user: unit rows (n, E), in the order of enrolment; (0, E) if there is none of that name."""
        with self._reading() as (_, now):
            return self._list.embeddings(encode_name(user), now)

    def recordings(self, user: str) -> list[bytes | None]:
        """The files that the embeddings were made of, in the same order; None for one that was not kept."""
        with self._reading() as (_, now):
            return self._list.recordings(encode_name(user), now)

    def events(self, *, user: str | None = None, limit: int = 1000) -> list[GalleryEvent]:
        """The audit log, newest first; with `user` what concerns that name, whether or not there is such a user."""
        check_limit(limit)
        name = None if user is None else encode_name(user)
        with self._reading():
            return self._events.newest(name, limit)

    def record_copy(self, description: str, *, by: str | None = None) -> None:
        """Note that an export or backup was made: its place, in words."""
        with self._write() as change:
            self._events.add("copy", change, by=by)
            self._events.add_copy(description, change)
        self._prove(change)

    def copies(self) -> list[GalleryCopy]:
        """Exports and backups that were made of this gallery, newest first."""
        with self._reading():
            return self._events.copies()

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]:
        """The users most like an embedding (E,): raw cosines, best first, ties by name."""
        return self.search_many(np.asarray(embedding)[None], limit=limit)[0]

    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """The same for each row of (Q, E), at one and the same moment of the gallery; one matrix product."""
        check_limit(limit)
        if np.shape(embeddings) == (0, self.dim):
            return []
        queries = unit_rows(embeddings, self.dim)
        with self._reading() as (revision, now):
            found = self._voices.search(queries, limit, revision, now)
            return [self._matches(each, limit) for each in found]

    def rotate_key(self, old: KeySource | None, new: KeySource | None, *, by: str | None = None) -> None:
        """Seal everything anew, all or nothing: from None encrypts a gallery, to None decrypts it.

        Processes that have the gallery open get a GalleryError at their next call and open it with the new key. The
        file is written anew, so that nothing under the old key is left in it. Copies stay under the old one.
        """
        old_seal, new_seal = open_seal(old), open_seal(new)
        with self._lock, gallery_errors(self.path):
            with transaction(self._connection):
                revision, key_check = self._connection.execute("SELECT revision, key_check FROM meta").fetchone()
                if not old_seal.fits(key_check):
                    raise GalleryError(f"the old key is not the one of {self.path}: nothing was changed")
                seal_anew(self._connection, old_seal, new_seal)
                file = self._file._replace(seal=new_seal)
                change = Change(revision + 1, as_text(self._clock()), WrittenOver([], []))
                EventTable(file).add("rotate key", change, by=by)
            self._use(file)
            write_anew(self._connection)

    def backup(self, path: Path, *, replace: bool = False, by: str | None = None) -> None:
        """Copy the whole gallery, as it is at one moment, into another file; the copy is noted first.

        Whatever was removed and can still be restored is in the copy too. Raises ConfigError for a place that cannot
        be written, or where a file is already.
        """
        if path.absolute() == self.path:
            raise ConfigError(f"{path} is the gallery itself: give the copy another place")
        refuse_existing(path, replace=replace)
        self.record_copy(f"backup {path.absolute()}", by=by)
        with self._lock, gallery_errors(self.path):
            write_backup(self._connection, path, replace=replace)

    def close(self) -> None:
        with self._lock, gallery_errors(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _use(self, file: GalleryFile) -> None:
        self._file = file
        self._connection = file.connection
        self._voices = VoiceReader(file, self.best)
        self._users = UserTable(file)
        self._list = UserList(file, self._users)
        self._events = EventTable(file)

    @contextmanager
    def _reading(self) -> Iterator[tuple[int, str]]:
        """One moment of the gallery; gives its revision and the time."""
        with self._lock, gallery_errors(self.path), transaction(self._connection, "DEFERRED"):
            yield self._revision(), as_text(self._clock())

    @contextmanager
    def _write(self) -> Iterator[Change]:
        """One transaction, which also erases those whose time is over; whatever leaves it early has changed nothing."""
        with self._lock, gallery_errors(self.path), transaction(self._connection):
            change = Change(self._revision() + 1, as_text(self._clock()), WrittenOver([], []))
            before, free_before = self._connection.total_changes, num_free_pages(self._connection)
            for user_id, action in self._users.overdue(change.now):
                self._erase(user_id, action, change)
            yield change
            if self._connection.total_changes > before:
                freed = num_free_pages(self._connection) - free_before
                written_over = sum(map(len, change.written.put))
                query = """UPDATE meta SET revision = ?, free_pages = free_pages + ?, written_over = written_over + ?"""
                self._connection.execute(query, (change.revision, freed, written_over))
                if written_over:
                    compact(self._connection)

    def _log(
        self, user_id: int, action: str, change: Change, *, num_recordings: int = 0, by: str | None = None
    ) -> None:
        self._events.add(action, change, tag=self._users.tag(user_id), num_recordings=num_recordings, by=by)

    def _erase(self, user_id: int, action: str, change: Change, by: str | None = None) -> None:
        self._log(user_id, action, change, num_recordings=self._users.num_recordings(user_id), by=by)
        self._users.erase(user_id, change)

    def _prove(self, change: Change) -> Proof:
        """Make sure that what a committed change wrote over is in no file, nor in the memory of the index."""
        if not change.written.gone:
            return NOTHING
        with self._lock, gallery_errors(self.path):
            with transaction(self._connection, "DEFERRED"):
                self._voices.follow(self._revision())
            return prove_erased(self._file, change.written, self._users.held)

    def _revision(self) -> int:
        """Which change was the last; raises GalleryError if that one took our key away."""
        revision, key_check = self._connection.execute("SELECT revision, key_check FROM meta").fetchone()
        if not self._file.seal.fits(key_check):
            raise GalleryError(f"the key of {self.path} was changed: open it again with the new one")
        return int(revision)

    def _matches(self, found: Found, limit: int) -> list[Match]:
        """The best of those found; names are read for these alone, and for whoever ties with the last."""
        if len(found.scores) > limit:
            worst = -np.partition(-found.scores, limit - 1)[limit - 1]
            found = Found(found.users[found.scores >= worst], found.scores[found.scores >= worst])
        pairs = zip(found.users.tolist(), found.scores.tolist(), strict=True)
        matches = [Match(self._users.name(user_id), score) for user_id, score in pairs]
        return sorted(matches, key=lambda match: (-match.score, match.user))[:limit]
