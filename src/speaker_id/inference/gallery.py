"""Enrolled users in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Self

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, Match, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_erasure import Erasure, num_found, traces_of
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
        return cls(open_file(path, fingerprint, dim, key), check_best(best), clock)

    def enrol(self, user: str, embeddings: FloatArray, *, details: UserDetails | None = None) -> int:
        """Keep recordings of a user: unit rows (n, E). Returns the number kept of that user now; all or nothing.

        `details` replace those there were; None leaves them.
        """
        name = encode_name(user)
        rows = unit_rows(embeddings, self.dim)
        checked = details and check_details(details, self._clock())
        with self._write(erases=details is not None) as change:
            user_id = self._users.find(name) or self._users.add(name, change)
            kept = self._users.add_vectors(user_id, [row.tobytes() for row in rows], change)
            self._users.touch(user_id, checked, change)
        return kept

    def update(self, user: str, details: UserDetails) -> bool:
        """Replace a user's details; False if there is none of that name."""
        name = encode_name(user)
        checked = check_details(details, self._clock())
        with self._write(erases=True) as change:
            if (user_id := self._users.find(name)) is not None:
                self._users.touch(user_id, checked, change)
        return user_id is not None

    def remove(self, user: str) -> bool:
        """Delete a user; False if there is none of that name.

        The bytes are overwritten in the file, not only unlinked (`secure_delete`, then the log is emptied), and the
        memory of this process is overwritten too. If another process is in the middle of a long reading, the log is
        emptied at the latest when the file is last closed. `erase` does the same and proves it.
        """
        name = encode_name(user)
        with self._write(erases=True) as change:
            if (user_id := self._users.find(name)) is not None:
                self._users.delete([user_id], change)
        return user_id is not None

    def erase(self, user: str) -> Erasure | None:
        """Delete a user and search the gallery's files for what was stored of that user; None if there is none.

        Should anything be left (a page that SQLite copied, another process in the middle of reading), the whole file
        is written anew. Out of reach are backups, snapshots and exports made before, copies that a journalling or
        copy-on-write file system keeps, blocks that an SSD has set aside, and swap. With a key, destroying the key
        reaches those too.
        """
        name = encode_name(user)
        with self._lock, gallery_errors(self.path):
            user_id = self._users.find(name)
            stored = [] if user_id is None else self._users.stored_vectors(user_id)
            names = [self._file.seal.lookup(name), name]
        if not self.remove(user):
            return None
        with self._lock, gallery_errors(self.path):
            traces = traces_of(names, stored)
            left = num_found(traces, side_files(self.path))
            if left:  # the same recording under another name, or a longer name that contains this one, is no trace
                traces -= traces_of(*self._users.held(names, stored))
                left = num_found(traces, side_files(self.path))
            if rewritten := left > 0:
                self._rewrite()
                left = num_found(traces, side_files(self.path))
            searched = tuple(side_files(self.path))
        return Erasure(user, len(stored), searched, len(traces), left, rewritten)

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        query = f"""SELECT users.id, name, sealed_name, COUNT(embeddings.id) FROM users
                    LEFT JOIN embeddings ON user_id = users.id WHERE {ALIVE} GROUP BY users.id"""
        with self._reading() as now:
            found = self._connection.execute(query, (now,)).fetchall()
            return dict(sorted((self._users.open_name(*row), count) for *row, count in found))

    def enrolled(self, user: str) -> Enrolled | None:
        """One user with details and times; None if there is none of that name."""
        query = f"""SELECT users.id, COUNT(embeddings.id), users.created, changed, details, expires FROM users
                    LEFT JOIN embeddings ON user_id = users.id WHERE name = ? AND {ALIVE} GROUP BY users.id"""
        lookup = self._file.seal.lookup(encode_name(user))
        with self._reading() as now:
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
        with self._reading() as now:
            return read_vectors(self._file, self._connection.execute(query, (lookup, now)).fetchall())[1].astype(
                np.float32
            )

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]:
        """The users most like an embedding (E,): raw cosines, best first, ties by name."""
        return self.search_many(np.asarray(embedding)[None], limit=limit)[0]

    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """The same for each row of (Q, E), at one and the same moment of the gallery; one matrix product."""
        check_limit(limit)
        if np.shape(embeddings) == (0, self.dim):
            return []
        queries = unit_rows(embeddings, self.dim)
        with self._reading() as now:
            found = self._voices.search(queries, limit, self._revision(), now)
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
            self._rewrite()

    def close(self) -> None:
        with self._lock, gallery_errors(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[str]:
        """One moment of the gallery; gives the time."""
        with self._lock, gallery_errors(self.path), transaction(self._connection, "DEFERRED"):
            yield as_text(self._clock())

    @contextmanager
    def _write(self, *, erases: bool) -> Iterator[Change]:
        """One transaction, which also erases those whose time is over; whatever leaves it early has changed nothing."""
        with self._lock, gallery_errors(self.path):
            with transaction(self._connection):
                change = Change(self._revision() + 1, as_text(self._clock()))
                before = self._connection.total_changes
                expired = self._users.expired(change.now)
                self._users.delete(expired, change)
                yield change
                if changed := self._connection.total_changes > before:
                    self._connection.execute("UPDATE meta SET revision = ?", (change.revision,))
            if changed and (erases or expired):
                with transaction(self._connection, "DEFERRED"):
                    self._voices.follow(self._revision())
                empty_log(self._connection)

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

    def _rewrite(self) -> None:
        self._connection.execute("VACUUM")
        empty_log(self._connection)
