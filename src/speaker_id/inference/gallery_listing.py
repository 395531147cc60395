"""What a gallery file answers about its users; every call is a part of its caller's reading."""

from __future__ import annotations

import numpy as np

from speaker_id.contracts import Enrolled, FloatArray, Match
from speaker_id.inference.gallery_file import GalleryFile
from speaker_id.inference.gallery_index import Found
from speaker_id.inference.gallery_reader import read_vectors
from speaker_id.inference.gallery_records import as_time
from speaker_id.inference.gallery_schema import tag_of
from speaker_id.inference.gallery_users import UserTable

THERE = "erase_at IS NULL AND (expires IS NULL OR expires > ?)"


class UserList:
    """Users who are there at a moment `now`: not removed, and their time not over."""

    def __init__(self, file: GalleryFile, users: UserTable) -> None:
        self._file = file
        self._users = users
        self._execute = file.connection.execute

    def users(self, now: str) -> dict[str, int]:
        query = f"""SELECT users.id, content, (SELECT COUNT(*) FROM embeddings WHERE user_id = users.id)
                    FROM users JOIN texts ON texts.id = name_id WHERE {THERE}"""
        found = self._execute(query, (now,)).fetchall()
        return dict(sorted((self._users.open_name(user_id, name), num) for user_id, name, num in found))

    def num_users(self, now: str) -> int:
        (num,) = self._execute(f"SELECT COUNT(*) FROM users WHERE {THERE}", (now,)).fetchone()
        return int(num)

    def enrolled(self, user: str, name: bytes, now: str) -> Enrolled | None:
        query = f"""SELECT users.id, created, changed, content, expires
                    FROM users LEFT JOIN texts ON texts.id = details_id WHERE tag = ? AND {THERE}"""
        if (row := self._execute(query, (tag_of(name, self._file.tag_key), now)).fetchone()) is None:
            return None
        user_id, created, changed, stored, expires = row
        details = self._users.open_details(user_id, stored, expires)
        return Enrolled(user, self._users.num_recordings(user_id), as_time(created), as_time(changed), details)

    def embeddings(self, name: bytes, now: str) -> FloatArray:
        query = f"""SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id WHERE tag = ? AND {THERE}
                    ORDER BY embeddings.id"""
        rows = self._execute(query, (tag_of(name, self._file.tag_key), now)).fetchall()
        return np.array(read_vectors(self._file, rows)[1], np.float32)

    def matches(self, found: Found, limit: int) -> list[Match]:
        """The best of those found; names are read for these alone, and for whoever ties with the last."""
        if len(found.scores) > limit:
            worst = -np.partition(-found.scores, limit - 1)[limit - 1]
            found = Found(found.users[found.scores >= worst], found.scores[found.scores >= worst])
        pairs = zip(found.users.tolist(), found.scores.tolist(), strict=True)
        matches = [Match(self._users.name(user_id), score) for user_id, score in pairs]
        return sorted(matches, key=lambda match: (-match.score, match.user))[:limit]

    def recordings(self, name: bytes, now: str) -> list[bytes | None]:
        query = f"""SELECT embeddings.id, users.id, content FROM embeddings JOIN users ON users.id = embeddings.user_id
                    LEFT JOIN recordings ON recordings.id = embeddings.id WHERE tag = ? AND {THERE}
                    ORDER BY embeddings.id"""
        rows = self._execute(query, (tag_of(name, self._file.tag_key), now)).fetchall()
        open_ = self._file.seal.open
        return [
            None if stored is None else open_(stored, user_id, f"recording {number}")
            for number, user_id, stored in rows
        ]
