"""A gallery's voices in memory, kept up with what any process writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.inference.gallery_index import Found, Ids, VoiceIndex
from speaker_id.inference.postgres.database import Connection, one_row
from speaker_id.inference.postgres.store import Store
from speaker_id.inference.postgres.vectors import read_grouped

CHANGES_AT_ONCE = 2000  # more than this, and reading everything again is the quicker way
NONE_YET = -1


class VoiceReader:
    """The index of a gallery. One thread at a time."""

    def __init__(self, store: Store, best: int | None) -> None:
        self._store = store
        self._best = best
        self._index = VoiceIndex(best, *self._nobody())
        self._expiries: dict[int, datetime] = {}
        self.revision = NONE_YET  # what was read; the first search reads everybody

    def search(self, queries: FloatArray, limit: int, now: datetime) -> list[Found]:
        """The gallery as it was read, less those whose time is over."""
        if over := [user_id for user_id, expires in self._expiries.items() if expires <= now]:
            self._index.replace(_ids(over), *self._nobody())
            for user_id in over:
                del self._expiries[user_id]
        return self._index.search(queries, limit)

    def follow(self, connection: Connection) -> None:
        """Take up all changes, in a transaction that sees one moment."""
        (revision,) = one_row(connection, "SELECT revision FROM meta")
        if self.revision == NONE_YET or revision < self.revision:  # or a backup was restored
            self._read_all(connection)
        elif revision > self.revision:
            self._read_changes(connection)
        self.revision = revision

    def _read_all(self, connection: Connection) -> None:
        connection.execute("SET LOCAL statement_timeout = 0")
        query = "SELECT id, expires FROM users WHERE erase_at IS NULL AND expires IS NOT NULL"
        self._expiries = dict(connection.execute(query).fetchall())
        (num,) = one_row(connection, "SELECT count(*) FROM embeddings")
        query = """SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id
                   WHERE erase_at IS NULL ORDER BY embeddings.id"""
        self._index = VoiceIndex(self._best, *read_grouped(self._store, connection, query, {}, num))

    def _read_changes(self, connection: Connection) -> None:
        since = {"since": self.revision}
        gone = [row[0] for row in connection.execute("SELECT user_id FROM removed WHERE revision > %(since)s", since)]
        query = "SELECT id, expires, erase_at IS NULL FROM users WHERE revision > %(since)s"
        changed = connection.execute(query, since).fetchall()
        if len(changed) > CHANGES_AT_ONCE:
            return self._read_all(connection)
        for user_id in [*gone, *(user_id for user_id, _, _ in changed)]:
            self._expiries.pop(user_id, None)
        self._expiries |= {user_id: expires for user_id, expires, alive in changed if alive and expires is not None}
        query = """SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id
                   WHERE users.revision > %(since)s AND erase_at IS NULL ORDER BY user_id, embeddings.id"""
        rows = read_grouped(self._store, connection, query, since)
        self._index.replace(_ids([*gone, *(user_id for user_id, _, _ in changed)]), *rows)
        return None

    def _nobody(self) -> tuple[Ids, FloatArray]:
        return np.zeros(0, np.int64), np.zeros((0, self._store.dim), np.float32)


def _ids(users: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(users, np.int64)
