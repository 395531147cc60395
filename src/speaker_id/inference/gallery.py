"""Enrolled users in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, GalleryCopy, GalleryEvent, Match, UserDetails
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.gallery_backup import write_backup
from speaker_id.inference.gallery_erasure import Erasure
from speaker_id.inference.gallery_file import GalleryFile, open_file
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
from speaker_id.inference.gallery_seal import KeySource, open_seal
from speaker_id.inference.gallery_store import GalleryStore
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
        self._store = GalleryStore(file, best, clock)

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
        now = self._store.clock()
        checked = details and check_details(details, now)
        first = as_text(check_enrolled(enrolled, now))
        action = "enrol" if enrolled is None else "import"
        store = self._store
        with store.writing() as change:
            if (removed := store.users.find_removed(name)) is not None:
                store.erase(removed, "erase", change, by)
            user_id = store.users.find(name) or store.users.add(name, first, change)
            kept = store.users.add_vectors(user_id, [row.tobytes() for row in rows], recordings, first)
            if checked is not None:
                store.users.set_details(user_id, merged(store.users.details(user_id), checked), change)
            store.note(user_id, action, change, num_recordings=len(rows), by=by)
            store.users.touch(user_id, first, change)
        store.prove(change)
        return kept

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> bool:
        """Replace a user's details; False if there is none of that name."""
        name = encode_name(user)
        checked = check_details(details, self._store.clock())
        store = self._store
        with store.writing() as change:
            if (user_id := store.users.find(name)) is not None:
                store.users.set_details(user_id, checked, change)
                store.note(user_id, "update", change, num_recordings=0, by=by)
                store.users.touch(user_id, change.now, change)
        store.prove(change)
        return user_id is not None

    def remove(self, user: str, *, by: str | None = None) -> bool:
        """Take a user out of everything at once; False if there is none of that name.

        With a grace time the user can be restored until it is over, and the next write then erases; without one the
        user is erased now, as `erase` does.
        """
        if not self.grace:
            return self.erase(user, by=by) is not None
        name = encode_name(user)
        store = self._store
        with store.writing() as change:
            if (user_id := store.users.find(name)) is not None:
                store.note(user_id, "remove", change, by=by)
                store.users.hide(user_id, as_text(store.clock() + self.grace), change)
        store.prove(change)
        return user_id is not None

    def restore(self, user: str, *, by: str | None = None) -> bool:
        """Undo `remove`, with everything as it was; False once the grace time is over, or the name enrolled anew."""
        name = encode_name(user)
        store = self._store
        with store.writing() as change:
            if (user_id := store.users.find_removed(name)) is not None:
                store.note(user_id, "restore", change, by=by)
                store.users.show(user_id, change)
        store.prove(change)
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
        store = self._store
        with store.writing() as change:
            there = store.users.find(name)
            user_id = store.users.find_removed(name) if there is None else there
            if user_id is not None:
                copies = store.log.copies()
                num_recordings = store.users.num_recordings(user_id)
                if there is not None:
                    store.note(user_id, "remove", change, by=by)
                store.erase(user_id, "erase", change, by)
        proof = store.prove(change)
        return None if user_id is None else Erasure(user, num_recordings, proof, tuple(copies))

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        with self._store.reading() as (_, now):
            return self._store.listing.users(now)

    def num_users(self) -> int:
        """How many users there are, without reading their names."""
        with self._store.reading() as (_, now):
            return self._store.listing.num_users(now)

    def enrolled(self, user: str) -> Enrolled | None:
        """One user with details and times; None if there is none of that name."""
        with self._store.reading() as (_, now):
            return self._store.listing.enrolled(user, encode_name(user), now)

    def embeddings(self, user: str) -> FloatArray:
        """What is kept of a user: unit rows (n, E), in the order of enrolment; (0, E) if there is none of that name."""
        with self._store.reading() as (_, now):
            return self._store.listing.embeddings(encode_name(user), now)

    def recordings(self, user: str) -> list[bytes | None]:
        """The files that the embeddings were made of, in the same order; None for one that was not kept."""
        with self._store.reading() as (_, now):
            return self._store.listing.recordings(encode_name(user), now)

    def events(self, *, user: str | None = None, limit: int = 1000) -> list[GalleryEvent]:
        """The audit log, newest first; with `user` what concerns that name, whether or not there is such a user."""
        check_limit(limit)
        name = None if user is None else encode_name(user)
        with self._store.reading():
            return self._store.log.newest(name, limit)

    def record_copy(self, description: str, *, by: str | None = None) -> None:
        """Note that an export or backup was made: its place, in words."""
        store = self._store
        with store.writing() as change:
            store.log.add("copy", change, by=by)
            store.log.add_copy(description, change)
        store.prove(change)

    def copies(self) -> list[GalleryCopy]:
        """Exports and backups that were made of this gallery, newest first."""
        with self._store.reading():
            return self._store.log.copies()

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]:
        """The users most like an embedding (E,): raw cosines, best first, ties by name."""
        return self.search_many(np.asarray(embedding)[None], limit=limit)[0]

    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """The same for each row of (Q, E), at one and the same moment of the gallery; one matrix product."""
        check_limit(limit)
        if np.shape(embeddings) == (0, self.dim):
            return []
        queries = unit_rows(embeddings, self.dim)
        with self._store.reading() as (revision, now):
            found = self._store.voices.search(queries, limit, revision, now)
            return [self._store.listing.matches(each, limit) for each in found]

    def rotate_key(self, old: KeySource | None, new: KeySource | None, *, by: str | None = None) -> None:
        """Seal everything anew, all or nothing: from None encrypts a gallery, to None decrypts it.

        Processes that have the gallery open get a GalleryError at their next call and open it with the new key. The
        file is written anew, so that nothing under the old key is left in it. Copies stay under the old one.
        """
        self._store.seal_anew(open_seal(old), open_seal(new), by)

    def backup(self, path: Path, *, replace: bool = False, by: str | None = None) -> None:
        """Copy the whole gallery, as it is at one moment, into another file; the copy is noted first.

        Whatever was removed and can still be restored is in the copy too. Raises ConfigError for a place that cannot
        be written, or where a file is already.
        """
        if path.exists() and path.samefile(self.path):
            raise ConfigError(f"{path} is the gallery itself: give the copy another place")
        refuse_existing(path, replace=replace)
        self.record_copy(f"backup {path.absolute()}", by=by)
        with self._store.alone():
            write_backup(self._store.connection, path, replace=replace)

    def close(self) -> None:
        with self._store.alone():
            self._store.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
