"""Enrolled users in a PostgreSQL database, searched exactly in memory or approximately in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import repeat
from typing import Self

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, GalleryCopy, GalleryEvent, Match, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import USUAL, GalleryOptions
from speaker_id.inference.gallery_records import (
    check_best,
    check_details,
    check_enrolled,
    check_grace,
    check_limit,
    check_recordings,
    unit_rows,
    utc_now,
)
from speaker_id.inference.gallery_seal import KeySource, open_seal
from speaker_id.inference.names import encode_name
from speaker_id.inference.postgres.address import read_address
from speaker_id.inference.postgres.change import Change, changing
from speaker_id.inference.postgres.database import Connection
from speaker_id.inference.postgres.erasure import Erasure, rewrite, vacuum
from speaker_id.inference.postgres.events import EventTable
from speaker_id.inference.postgres.exact import ExactSearch
from speaker_id.inference.postgres.nearest import NearestSearch, keep_mean
from speaker_id.inference.postgres.reading import UserReader
from speaker_id.inference.postgres.rotation import check_old_key, seal_anew
from speaker_id.inference.postgres.store import Store, open_store
from speaker_id.inference.postgres.users import UserTable


class PostgresGallery:
    """The gallery contract over a PostgreSQL schema, for any number of threads, processes and machines.

    An acknowledged change is on the database's disk. Each call sees what anybody has committed before it. A database
    that went away is a GalleryError, and the first call after its return works again. After `fork`, open anew.

    With a key, embeddings, names, metadata, consent and recordings are sealed before they leave this process. Readable
    there stay: how many users and recordings there are, their times, the audit log, and the model's fingerprint.
    """

    def __init__(self, store: Store, options: GalleryOptions, clock: Callable[[], datetime]) -> None:
        """Use `PostgresGallery.open`."""
        self.fingerprint = store.fingerprint
        self.dim = store.dim
        self.keeps_recordings = options.keep_recordings
        self._options = options
        self._clock = clock
        self._use(store)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        fingerprint: str | None = None,
        dim: int | None = None,
        options: GalleryOptions = USUAL,
        clock: Callable[[], datetime] = utc_now,
    ) -> PostgresGallery:
        """Open the gallery at `postgresql://user:password@host/database?gallery=NAME`.

        NAME is the PostgreSQL schema that holds it, `speaker_id` where none is given. With `fingerprint` and `dim` (E)
        of a model it is created where there is none; without them an existing one opens for what needs no model. A
        gallery of an older version is brought to this one, all or nothing. `clock` tells the time in UTC. Raises
        GalleryError for a database that cannot be reached, a schema of something else, the embeddings of another model
        and another key; ConfigError for options that do not fit each other.
        """
        check_best(options.best)
        check_grace(options.grace)
        if options.keep_recordings and options.key is None:
            raise GalleryError("recordings are kept encrypted only: give a key, or do not ask to keep them")
        store = open_store(read_address(url), fingerprint, dim, options.key)
        try:
            return cls(store, options, clock)
        except BaseException:
            store.database.close()
            raise

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
        """Keep recordings of a user: unit rows (n, E). Returns the number kept of that user now; all or nothing."""
        name = encode_name(user)
        rows = unit_rows(embeddings, self.dim)
        check_recordings(recordings, len(rows), self.keeps_recordings)
        now = self._clock()
        checked = details and check_details(details, now)
        first = check_enrolled(enrolled, now)
        with self._changing() as change:
            row = self._users.find(name, change)
            if row is not None and row.removed:
                self._erase(row.id, "erase", change, by)
                row = None
            user_id = self._users.add(name, first, change) if row is None else row.id
            for vector, recording in zip(rows, recordings or repeat(None, len(rows)), strict=True):
                self._users.add_vector(user_id, vector.tobytes(), recording, first, change)
            self._users.touch(user_id, first, change)
            if checked is not None:
                self._users.merge_details(user_id, checked, change)
            keep_mean(self._store, user_id, change)
            self._log(user_id, "enrol" if enrolled is None else "import", change, len(rows), by)
            kept = self._users.num_recordings(user_id, change)
        self._clean(change)
        return kept

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> bool:
        """Replace a user's details; False if there is none of that name."""
        name, now = encode_name(user), self._clock()
        checked = check_details(details, now)
        with self._changing() as change:
            if (user_id := self._users.there(name, change)) is not None:
                self._users.touch(user_id, change.now, change)
                self._users.write_details(user_id, checked, change)
                self._log(user_id, "update", change, 0, by)
        self._clean(change)
        return user_id is not None

    def remove(self, user: str, *, by: str | None = None) -> bool:
        """Take a user out of everything at once; erased now, as `erase` does, or after the grace time."""
        if not self._options.grace:
            return self.erase(user, by=by) is not None
        name = encode_name(user)
        with self._changing() as change:
            if (user_id := self._users.there(name, change)) is not None:
                self._log(user_id, "remove", change, self._users.num_recordings(user_id, change), by)
                self._users.hide(user_id, change.now + self._options.grace, change)
                keep_mean(self._store, user_id, change)
        self._clean(change)
        return user_id is not None

    def restore(self, user: str, *, by: str | None = None) -> bool:
        """Undo `remove`, with everything as it was; False once the grace time is over, or the name enrolled anew."""
        name = encode_name(user)
        with self._changing() as change:
            row = self._users.find(name, change)
            if row is not None and row.removed:
                self._log(row.id, "restore", change, self._users.num_recordings(row.id, change), by)
                self._users.show(row.id, change)
                keep_mean(self._store, row.id, change)
        self._clean(change)
        return row is not None and row.removed

    def erase(self, user: str, *, by: str | None = None) -> Erasure | None:
        """Erase a user now, removed before or not; None if there is none of that name.

        The rows are deleted and the tables vacuumed, this process's memory of the voice is overwritten. What stays is
        PostgreSQL's: free space in the tables' pages until it is used again (`rewrite` does away with it), the
        write-ahead log until it is recycled, and archives, backups and replicas. With a key, destroying the key
        reaches all of those.
        """
        name = encode_name(user)
        num, copies = 0, list[GalleryCopy]()
        with self._changing() as change:
            if (row := self._users.find(name, change)) is not None:
                copies = self._events.copies(change.connection)
                num = self._users.num_recordings(row.id, change)
                if not row.removed:
                    self._log(row.id, "remove", change, num, by)
                self._erase(row.id, "erase", change, by)
        left = self._clean(change)
        return None if row is None else Erasure(user, num, tuple(copies), left)

    def rewrite(self) -> None:
        """Write the tables anew (VACUUM FULL): no page holds what was deleted then. Meanwhile nobody can use them."""
        rewrite(self._store)

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        with self._reading() as (connection, now):
            return self._reader.users(connection, now)

    def num_users(self) -> int:
        """How many users there are, without reading their names."""
        with self._reading() as (connection, now):
            return self._reader.num_users(connection, now)

    def enrolled(self, user: str) -> Enrolled | None:
        """One user with details and times; None if there is none of that name."""
        with self._reading() as (connection, now):
            return self._reader.enrolled(connection, user, now)

    def embeddings(self, user: str) -> FloatArray:
        """What is kept of a user: unit rows (n, E), in the order of enrolment; (0, E) if there is none of that name."""
        with self._reading() as (connection, now):
            return self._reader.embeddings(connection, encode_name(user), now)

    def recordings(self, user: str) -> list[bytes | None]:
        """The files behind the embeddings, in their order; None for one that was not stored."""
        with self._reading() as (connection, now):
            return self._reader.recordings(connection, encode_name(user), now)

    def events(self, *, user: str | None = None, limit: int = 1000) -> list[GalleryEvent]:
        """The audit log, newest first; with `user` what concerns that name, whether or not there is such a user."""
        check_limit(limit)
        name = None if user is None else encode_name(user)
        with self._reading() as (connection, _):
            return self._events.newest(connection, name, limit)

    def record_copy(self, description: str, *, by: str | None = None) -> None:
        """Note that an export or backup was made: its place, in words."""
        with self._changing() as change:
            self._events.add("copy", change, by=by)
            self._events.add_copy(description, change)
        self._clean(change)

    def copies(self) -> list[GalleryCopy]:
        """Exports and backups that were made of this gallery, newest first."""
        with self._reading() as (connection, _):
            return self._events.copies(connection)

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]:
        """The users most like an embedding (E,): raw cosines, best first, ties by name."""
        return self.search_many(np.asarray(embedding)[None], limit=limit)[0]

    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """The same for each row of (Q, E), at one and the same moment of the gallery."""
        check_limit(limit)
        if np.shape(embeddings) == (0, self.dim):
            return []
        return self._search.search(unit_rows(embeddings, self.dim), limit, self._clock())

    def rotate_key(self, old: KeySource | None, new: KeySource | None, *, by: str | None = None) -> None:
        """Seal everything anew, all or nothing: from None encrypts a gallery, to None decrypts it.

        Whoever has the gallery open gets a GalleryError at the next call and opens it with the new key. The tables are
        written anew, so that nothing under the old key is left in them.
        """
        old_store = self._store._replace(seal=open_seal(old))
        new_store = self._store._replace(seal=open_seal(new))
        if isinstance(self._search, NearestSearch):
            raise GalleryError("keys and approximate search exclude each other: open the gallery without hnsw first")
        check_old_key(old_store)
        with changing(old_store, self._clock()) as change:
            seal_anew(old_store, new_store, change)
            EventTable(new_store).add("rotate key", change, by=by)
        self._use(new_store)
        self.rewrite()

    def close(self) -> None:
        self._store.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _use(self, store: Store) -> None:
        self._store = store
        self._users = UserTable(store)
        self._events = EventTable(store)
        self._reader = UserReader(store)
        hnsw, best = self._options.hnsw or store.database.address.hnsw, self._options.best
        self._search = NearestSearch(store, best, self._clock()) if hnsw else ExactSearch(store, best)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, datetime]]:
        """One moment of the gallery, and its time."""
        with self._store.database.reading() as connection:
            self._store.revision(connection)  # or a GalleryError
            yield connection, self._clock()

    @contextmanager
    def _changing(self) -> Iterator[Change]:
        """One transaction, which also erases those whose time is over."""
        with changing(self._store, self._clock()) as change:
            for user_id, action in self._users.overdue(change):
                self._erase(user_id, action, change)
            yield change

    def _log(self, user_id: int, action: str, change: Change, num_recordings: int, by: str | None) -> None:
        self._events.add(action, change, tag=self._users.tag(user_id, change), num_recordings=num_recordings, by=by)

    def _erase(self, user_id: int, action: str, change: Change, by: str | None = None) -> None:
        self._log(user_id, action, change, self._users.num_recordings(user_id, change), by)
        self._users.delete(user_id, change)

    def _clean(self, change: Change) -> int:
        """After a committed change: what was deleted leaves tables and memory. Rows that somebody still looks at."""
        if not change.deleted:
            return 0
        self._search.follow()
        return vacuum(self._store, change.nearest)
