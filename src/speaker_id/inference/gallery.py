"""Enrolled users in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Self

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, GalleryCopy, GalleryEvent, Match, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_erasure import Erasure, Proof, found_in, traces_of
from speaker_id.inference.gallery_file import (
    GalleryFile,
    empty_log,
    gallery_errors,
    open_file,
    side_files,
    transaction,
)
from speaker_id.inference.gallery_index import Found
from speaker_id.inference.gallery_reader import VoiceReader, read_vectors
from speaker_id.inference.gallery_records import (
    as_text,
    as_time,
    check_best,
    check_details,
    check_limit,
    details_from_json,
    unit_rows,
    utc_now,
)
from speaker_id.inference.gallery_rotation import seal_anew
from speaker_id.inference.gallery_seal import KeySource, open_seal
from speaker_id.inference.gallery_users import Change, UserTable
from speaker_id.inference.names import encode_name

ALIVE = "(expires IS NULL OR expires > ?)"


class SqliteGallery:
    """The gallery contract over one file on a local disk (WAL needs shared memory: no network file systems).

    An acknowledged change is on the disk: it survives a killed process and a power cut. Any number of threads and
    processes may share the file; each sees the others' changes at its next call. After `fork`, open anew.

    With a key, embeddings, names, metadata and consent are sealed on the disk. Readable there stay: how many users
    and recordings there are, when they were enrolled and changed and when they expire, and the model's fingerprint.
    """

    keeps_recordings = False

    def __init__(self, file: GalleryFile, best: int | None, clock: Callable[[], datetime]) -> None:
        """Use `SqliteGallery.open`."""
        self.path = file.path
        self.fingerprint = file.fingerprint
        self.dim = file.dim
        self.best = best
        self._file = file
        self._connection = file.connection
        self._clock = clock
        self._lock = threading.Lock()
        self._voices = VoiceReader(file, best)
        self._users = UserTable(file)

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
        A gallery of an older version is brought to this one, all or nothing. `clock` tells the time in UTC.
        Raises GalleryError when the file is something else, cannot be written, holds the embeddings of another model
        or is encrypted with another key.
        """
        if keep_recordings or grace:
            raise GalleryError("this gallery keeps no recordings yet, and has no grace time")
        return cls(open_file(path, fingerprint, dim, key), check_best(best), clock)

    def enrol(
        self,
        user: str,
        embeddings: FloatArray,
        *,
        details: UserDetails | None = None,
        recordings: Sequence[bytes] | None = None,
        enrolled: datetime | None = None,
        by: str | None = None,
    ) -> int:
        """Keep recordings of a user: unit rows (n, E). Returns the number kept of that user now; all or nothing.

        `details` replace those there were; None leaves them.
        """
        name = encode_name(user)
        if recordings is not None:
            raise GalleryError(f"{self.path} keeps no recordings")
        rows = unit_rows(embeddings, self.dim)
        checked = details and check_details(details, self._clock())
        with self._write() as change:
            user_id = self._users.find(name) or self._users.add(name, change)
            kept = self._users.add_vectors(user_id, [row.tobytes() for row in rows], change)
            self._users.touch(user_id, checked, change)
        self._prove_erased(change)
        return kept

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> bool:
        """Replace a user's details; False if there is none of that name."""
        name = encode_name(user)
        checked = check_details(details, self._clock())
        with self._write() as change:
            if (user_id := self._users.find(name)) is not None:
                self._users.touch(user_id, checked, change)
        self._prove_erased(change)
        return user_id is not None

    def remove(self, user: str, *, by: str | None = None) -> bool:
        """Delete a user, as `erase` does; False if there is none of that name."""
        return self.erase(user) is not None

    def erase(self, user: str) -> Erasure | None:
        """Delete a user and prove it; None if there is none of that name.

        The bytes are overwritten in the file, not only unlinked (`secure_delete`), the log is emptied, this process's
        memory of the voice is overwritten, and then the file is searched for what was stored. Should anything be left
        (SQLite copies records when it splits a page), the whole file is written anew. The search costs time and, while
        it lasts, memory in proportion to the file. `proof.left` is not 0 while another process is in the middle of a
        long reading: the log is then emptied at the next such call, or when the file is last closed.

        Out of reach are backups, snapshots and exports made before, what a journalling or copy-on-write file system
        keeps, blocks that an SSD has set aside, and swap. With a key, destroying the key reaches those too.
        """
        name = encode_name(user)
        num_recordings = 0
        with self._write() as change:
            if (user_id := self._users.find(name)) is not None:
                num_recordings = self._users.delete([user_id], change)
        proof = self._prove_erased(change)
        return None if user_id is None else Erasure(user, num_recordings, proof)

    def restore(self, user: str, *, by: str | None = None) -> bool:
        encode_name(user)
        return False

    def recordings(self, user: str) -> list[bytes | None]:
        return [None] * len(self.embeddings(user))

    def events(self, *, user: str | None = None, limit: int = 1000) -> list[GalleryEvent]:
        return []

    def record_copy(self, description: str, *, by: str | None = None) -> None:
        pass

    def copies(self) -> list[GalleryCopy]:
        return []

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        query = f"""SELECT users.id, name, sealed_name, COUNT(embeddings.id) FROM users
                    LEFT JOIN embeddings ON user_id = users.id WHERE {ALIVE} GROUP BY users.id"""
        with self._reading() as (_, now):
            found = self._connection.execute(query, (now,)).fetchall()
            return dict(sorted((self._users.open_name(*row), count) for *row, count in found))

    def num_users(self) -> int:
        """How many users there are, without reading their names."""
        with self._reading() as (_, now):
            (count,) = self._connection.execute(f"SELECT COUNT(*) FROM users WHERE {ALIVE}", (now,)).fetchone()
            return int(count)

    def enrolled(self, user: str) -> Enrolled | None:
        """One user with details and times; None if there is none of that name."""
        query = f"""SELECT users.id, COUNT(embeddings.id), users.created, changed, details, expires FROM users
                    LEFT JOIN embeddings ON user_id = users.id WHERE name = ? AND {ALIVE} GROUP BY users.id"""
        lookup = self._file.seal.lookup(encode_name(user))
        with self._reading() as (_, now):
            if (row := self._connection.execute(query, (lookup, now)).fetchone()) is None:
                return None
        user_id, num, created, changed, stored, expires = row
        text = None if stored is None else self._file.seal.open(stored, user_id, "details")
        details = details_from_json(text, None if expires is None else as_time(expires))
        return Enrolled(user, num, as_time(created), as_time(changed), details)

    def embeddings(self, user: str) -> FloatArray:
        """What is kept of a user: unit rows (n, E), in the order of enrolment; (0, E) if there is none of that name."""
        query = f"""SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id WHERE name = ? AND {ALIVE}
                    ORDER BY embeddings.id"""
        lookup = self._file.seal.lookup(encode_name(user))
        with self._reading() as (_, now):
            rows = self._connection.execute(query, (lookup, now)).fetchall()
            return np.array(read_vectors(self._file, rows)[1], np.float32)

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

    def rotate_key(self, old: KeySource | None, new: KeySource | None) -> None:
        """Seal everything anew, all or nothing: from None encrypts a gallery, to None decrypts it.

        Processes that have the gallery open get a GalleryError at their next call and open it with the new key. The
        file is written anew, so that nothing under the old key is left in it.
        """
        old_seal, new_seal = open_seal(old), open_seal(new)
        with self._lock, gallery_errors(self.path):
            with transaction(self._connection):
                (key_check,) = self._connection.execute("SELECT key_check FROM meta").fetchone()
                if not old_seal.fits(key_check):
                    raise GalleryError(f"the old key is not the one of {self.path}: nothing was changed")
                seal_anew(self._connection, old_seal, new_seal)
            self._file = self._file._replace(seal=new_seal)
            self._voices = VoiceReader(self._file, self.best)
            self._users = UserTable(self._file)
            self._connection.execute("VACUUM")
            empty_log(self._connection)

    def close(self) -> None:
        with self._lock, gallery_errors(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[tuple[int, str]]:
        """One moment of the gallery; gives its revision and the time."""
        with self._lock, gallery_errors(self.path), transaction(self._connection, "DEFERRED"):
            yield self._revision(), as_text(self._clock())

    @contextmanager
    def _write(self) -> Iterator[Change]:
        """One transaction, which also erases those whose time is over; whatever leaves it early has changed nothing."""
        with self._lock, gallery_errors(self.path), transaction(self._connection):
            change = Change(self._revision() + 1, as_text(self._clock()), [])
            before = self._connection.total_changes
            self._users.delete(self._users.expired(change.now), change)
            yield change
            if self._connection.total_changes > before:
                self._connection.execute("UPDATE meta SET revision = ?", (change.revision,))

    def _prove_erased(self, change: Change) -> Proof:
        """Make sure that what a committed change deleted is in no file.

        The pages are read through the connection. To open and close the file beside it would drop the POSIX locks of
        this process, and other writers would write over ours (sqlite.org/howtocorrupt.html, 2.2).
        """
        traces = traces_of(change.erased)
        if not change.erased:
            return Proof((), 0, 0, False)
        rewritten = False
        with self._lock, gallery_errors(self.path):
            with transaction(self._connection, "DEFERRED"):
                self._voices.follow(self._revision())
            left = traces
            if empty_log(self._connection):  # now the file is all there is
                left = found_in(self._connection.serialize(), traces)
                left -= self._users.held(left)
                if rewritten := bool(left):
                    self._connection.execute("VACUUM")
                    left = found_in(self._connection.serialize(), left) if empty_log(self._connection) else left
        return Proof(tuple(side_files(self.path)), len(traces), len(left), rewritten)

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
