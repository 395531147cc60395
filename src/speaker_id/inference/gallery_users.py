"""The rows of users in a gallery file; every call is a part of its caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from speaker_id.contracts import UserDetails
from speaker_id.inference.gallery_file import GalleryFile
from speaker_id.inference.gallery_records import as_text, details_as_json


class Change(NamedTuple):
    """What a transaction writes beside what it changes, and what it deletes."""

    revision: int
    now: str
    erased: list[bytes]  # as it was stored


class UserTable:
    """Users by number, names sealed as the file is."""

    def __init__(self, file: GalleryFile) -> None:
        self._seal = file.seal
        self._execute = file.connection.execute
        self._execute_many = file.connection.executemany

    def find(self, name: bytes) -> int | None:
        row = self._execute("SELECT id FROM users WHERE name = ?", (self._seal.lookup(name),)).fetchone()
        return None if row is None else row[0]

    def add(self, name: bytes, change: Change) -> int:
        lookup = self._seal.lookup(name)
        query = "INSERT INTO users (name, created, changed) VALUES (?, ?, ?)"
        user_id = self._execute(query, (lookup, change.now, change.now)).lastrowid
        assert user_id is not None
        if lookup != name:
            sealed = self._seal.close(name, user_id, "name")
            self._execute("UPDATE users SET sealed_name = ? WHERE id = ?", (sealed, user_id))
        return user_id

    def add_vectors(self, user_id: int, vectors: Sequence[bytes], change: Change) -> int:
        """Returns how many the user has now."""
        rows = [(user_id, self._seal.close(vector, user_id, "embedding"), change.now) for vector in vectors]
        self._execute_many("INSERT INTO embeddings (user_id, vector, created) VALUES (?, ?, ?)", rows)
        (kept,) = self._execute("SELECT COUNT(*) FROM embeddings WHERE user_id = ?", (user_id,)).fetchone()
        return int(kept)

    def touch(self, user_id: int, details: UserDetails | None, change: Change) -> None:
        """Mark as changed; None leaves the details."""
        query = "UPDATE users SET changed = ?, revision = ? WHERE id = ?"
        self._execute(query, (change.now, change.revision, user_id))
        if details is not None:
            change.erased.extend(self._values("SELECT details FROM users WHERE id = ?", user_id))
            stored = self._seal.close(details_as_json(details), user_id, "details")
            expires = None if details.expires is None else as_text(details.expires)
            self._execute("UPDATE users SET details = ?, expires = ? WHERE id = ?", (stored, expires, user_id))

    def delete(self, user_ids: Sequence[int], change: Change) -> int:
        """Returns how many recordings went with the users."""
        num_recordings = 0
        for user_id in user_ids:
            vectors = self._values("SELECT vector FROM embeddings WHERE user_id = ? ORDER BY id", user_id)
            num_recordings += len(vectors)
            change.erased.extend(vectors)
            change.erased.extend(self._values("SELECT name, sealed_name, details FROM users WHERE id = ?", user_id))
            self._execute("DELETE FROM users WHERE id = ?", (user_id,))
            self._execute("INSERT INTO removed VALUES (?, ?)", (change.revision, user_id))
        return num_recordings

    def expired(self, now: str) -> list[int]:
        return [user_id for (user_id,) in self._execute("SELECT id FROM users WHERE expires <= ?", (now,))]

    def name(self, user_id: int) -> str:
        query = "SELECT name, sealed_name FROM users WHERE id = ?"
        return self.open_name(user_id, *self._execute(query, (user_id,)).fetchone())

    def open_name(self, user_id: int, name: bytes, sealed_name: bytes | None) -> str:
        held = name if sealed_name is None else self._seal.open(sealed_name, user_id, "name")
        return bytes(held).decode()

    def held(self, traces: Iterable[bytes]) -> frozenset[bytes]:
        """Of these the ones that are a part of what is kept of anybody."""
        queries = (
            "SELECT 1 FROM users WHERE instr(name, ?1) OR instr(sealed_name, ?1) OR instr(details, ?1)",
            "SELECT 1 FROM embeddings WHERE instr(vector, ?1)",
        )
        return frozenset(
            trace for trace in traces if any(self._execute(query, (trace,)).fetchone() is not None for query in queries)
        )

    def _values(self, query: str, user_id: int) -> list[bytes]:
        return [bytes(value) for row in self._execute(query, (user_id,)) for value in row if value is not None]
