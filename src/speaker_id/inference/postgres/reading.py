"""What a gallery says of its users; every call is a part of its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray
from speaker_id.inference.gallery_records import details_from_json
from speaker_id.inference.gallery_schema import tag_of
from speaker_id.inference.names import encode_name
from speaker_id.inference.postgres.database import Connection
from speaker_id.inference.postgres.store import Store
from speaker_id.inference.postgres.users import ALIVE
from speaker_id.inference.postgres.vectors import read_vectors


class UserReader:
    """Users who are neither removed nor expired at a moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def users(self, connection: Connection, now: datetime) -> dict[str, int]:
        query = f"""SELECT users.id, name, count(embeddings.id) FROM users
                    LEFT JOIN embeddings ON user_id = users.id WHERE {ALIVE} GROUP BY users.id"""
        rows = connection.execute(query, {"now": now}, binary=True).fetchall()
        return dict(sorted((self._name(user_id, name), num) for user_id, name, num in rows))

    def num_users(self, connection: Connection, now: datetime) -> int:
        query = f"SELECT count(*) FROM users WHERE {ALIVE}"
        [[num]] = connection.execute(query, {"now": now}).fetchall()
        return int(num)

    def enrolled(self, connection: Connection, user: str, now: datetime) -> Enrolled | None:
        query = f"""SELECT users.id, count(embeddings.id), users.created, changed, details, expires FROM users
                    LEFT JOIN embeddings ON user_id = users.id
                    WHERE tag = %(tag)s AND {ALIVE} GROUP BY users.id"""
        row = connection.execute(query, self._of(encode_name(user), now)).fetchone()
        if row is None:
            return None
        user_id, num, created, changed, stored, expires = row
        text = None if stored is None else self._store.seal.open(stored, user_id, "details")
        details = details_from_json(text, None if expires is None else expires.astimezone(UTC))
        return Enrolled(user, num, created.astimezone(UTC), changed.astimezone(UTC), details)

    def embeddings(self, connection: Connection, name: bytes, now: datetime) -> FloatArray:
        query = f"""SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id
                    WHERE tag = %(tag)s AND {ALIVE} ORDER BY embeddings.id"""
        rows = connection.execute(query, self._of(name, now), binary=True).fetchall()
        return np.array(read_vectors(self._store, rows)[1], np.float32)

    def recordings(self, connection: Connection, name: bytes, now: datetime) -> list[bytes | None]:
        query = f"""SELECT user_id, embeddings.id, content FROM embeddings JOIN users ON users.id = user_id
                    LEFT JOIN recordings ON embedding_id = embeddings.id
                    WHERE tag = %(tag)s AND {ALIVE} ORDER BY embeddings.id"""
        rows = connection.execute(query, self._of(name, now), binary=True).fetchall()
        open_ = self._store.seal.open
        return [
            None if content is None else open_(content, user_id, f"recording {number}")
            for user_id, number, content in rows
        ]

    def names(self, connection: Connection, user_ids: Collection[int]) -> dict[int, str] | None:
        """By number; None if one of them is not there."""
        query = "SELECT id, name FROM users WHERE id = ANY(%s)"
        rows = connection.execute(query, (list(user_ids),)).fetchall()
        return {user_id: self._name(user_id, name) for user_id, name in rows} if len(rows) == len(user_ids) else None

    def _name(self, user_id: int, stored: bytes) -> str:
        return bytes(self._store.seal.open(stored, user_id, "name")).decode()

    def _of(self, name: bytes, now: datetime) -> dict[str, object]:
        return {"tag": tag_of(name, self._store.tag_key), "now": now}
