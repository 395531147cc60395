"""Exact search: the voices in memory, the names out of the database."""

from __future__ import annotations

import threading
from datetime import datetime

from speaker_id.contracts import FloatArray, Match
from speaker_id.inference.gallery_index import Found
from speaker_id.inference.postgres.database import Connection, one_moment
from speaker_id.inference.postgres.reading import UserReader
from speaker_id.inference.postgres.store import Store
from speaker_id.inference.postgres.voices import NONE_YET, VoiceReader


class ExactSearch:
    """Compares with everybody, one search after the other; each asks the database first what has changed."""

    def __init__(self, store: Store, best: int | None) -> None:
        self._store = store
        self._voices = VoiceReader(store, best)
        self._users = UserReader(store)
        self._lock = threading.Lock()

    def search(self, queries: FloatArray, limit: int, now: datetime) -> list[list[Match]]:
        """Unit rows (Q, E) -> the users most like each, at one moment of the gallery."""
        with self._lock, self._store.database.connection() as connection:
            while (found := self._search_once(connection, queries, limit, now)) is None:
                pass  # somebody who was found was erased meanwhile
            return found

    def follow(self) -> None:
        """Take up changes now, if anything was ever read: a removed voice leaves the memory too."""
        with self._lock:
            if self._voices.revision != NONE_YET:
                with self._store.database.reading() as connection:
                    self._voices.follow(connection)

    def _search_once(
        self, connection: Connection, queries: FloatArray, limit: int, now: datetime
    ) -> list[list[Match]] | None:
        """None if there was no name for somebody: numbers are never given twice, so nobody can have another's."""
        if self._store.revision(connection) != self._voices.revision:
            with one_moment(connection):
                self._voices.follow(connection)
        found = self._voices.search(queries, limit, now)
        names = self._users.names(connection, {user_id for each in found for user_id in each.users.tolist()})
        return None if names is None else [_matches(each, names, limit) for each in found]


def _matches(found: Found, names: dict[int, str], limit: int) -> list[Match]:
    pairs = zip(found.users.tolist(), found.scores.tolist(), strict=True)
    matches = [Match(names[user_id], score) for user_id, score in pairs]
    return sorted(matches, key=lambda match: (-match.score, match.user))[:limit]
