"""The rows of users in a gallery file; every call is a part of its caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from speaker_id.contracts import UserDetails
from speaker_id.inference.gallery_erasure import WrittenOver
from speaker_id.inference.gallery_file import GalleryFile
from speaker_id.inference.gallery_records import as_text, as_time, details_as_json, details_from_json
from speaker_id.inference.gallery_schema import tag_of

PERSONAL = (("texts", "content"), ("embeddings", "vector"), ("recordings", "content"))  # appended and written over


class Change(NamedTuple):
    """What a transaction writes beside what it changes, and what it writes over."""

    revision: int
    now: str
    written: WrittenOver


class UserTable:
    """Users by number; names, details, voices and recordings sealed as the file is."""

    def __init__(self, file: GalleryFile) -> None:
        self._seal = file.seal
        self._tag_key = file.tag_key
        self._execute = file.connection.execute
        self._execute_many = file.connection.executemany

    def find(self, name: bytes) -> int | None:
        return self._id("SELECT id FROM users WHERE tag = ? AND erase_at IS NULL", name)

    def find_removed(self, name: bytes) -> int | None:
        """One who can still be restored."""
        return self._id("SELECT id FROM users WHERE tag = ? AND erase_at IS NOT NULL", name)

    def add(self, name: bytes, created: str, change: Change) -> int:
        query = "INSERT INTO users (tag, name_id, created, changed, revision) VALUES (?, 0, ?, ?, ?)"
        values = (tag_of(name, self._tag_key), created, change.now, change.revision)
        user_id = self._execute(query, values).lastrowid
        assert user_id is not None
        name_id = self._add_text(user_id, self._seal.close(name, user_id, "name"))
        self._execute("UPDATE users SET name_id = ? WHERE id = ?", (name_id, user_id))
        return user_id

    def add_vectors(
        self, user_id: int, vectors: Sequence[bytes], recordings: Sequence[bytes | None] | None, created: str
    ) -> int:
        """Returns how many the user has now."""
        (first,) = self._execute("SELECT COALESCE(MAX(id), 0) + 1 FROM embeddings").fetchone()
        rows = [
            (number, user_id, self._seal.close(vector, user_id, "embedding"), created)
            for number, vector in enumerate(vectors, first)
        ]
        self._execute_many("INSERT INTO embeddings (id, user_id, vector, created) VALUES (?, ?, ?, ?)", rows)
        files = [
            (number, user_id, self._seal.close(recording, user_id, f"recording {number}"))
            for number, recording in enumerate(recordings or (), first)
            if recording is not None
        ]
        self._execute_many("INSERT INTO recordings (id, user_id, content) VALUES (?, ?, ?)", files)
        return self.num_recordings(user_id)

    def touch(self, user_id: int, created: str, change: Change) -> None:
        """Mark as changed, and as there since `created` if that is earlier than what was known."""
        query = "UPDATE users SET created = MIN(created, ?), changed = ?, revision = ? WHERE id = ?"
        self._execute(query, (created, change.now, change.revision, user_id))

    def details(self, user_id: int) -> UserDetails:
        query = "SELECT content, expires FROM users LEFT JOIN texts ON texts.id = details_id WHERE users.id = ?"
        stored, expires = self._execute(query, (user_id,)).fetchone()
        return self.open_details(user_id, stored, expires)

    def set_details(self, user_id: int, details: UserDetails, change: Change) -> None:
        if (before := self.details(user_id)) == details:
            return
        expires = None if details.expires is None else as_text(details.expires)
        self._execute("UPDATE users SET expires = ? WHERE id = ?", (expires, user_id))
        if before._replace(expires=None) == details._replace(expires=None):
            return
        self._write_over("texts", "content", "id = (SELECT details_id FROM users WHERE id = ?)", user_id, change)
        details_id = None
        if details.metadata or details.consent is not None:
            details_id = self._add_text(user_id, self._seal.close(details_as_json(details), user_id, "details"))
        self._execute("UPDATE users SET details_id = ? WHERE id = ?", (details_id, user_id))

    def hide(self, user_id: int, erase_at: str, change: Change) -> None:
        query = "UPDATE users SET erase_at = ?, revision = ? WHERE id = ?"
        self._execute(query, (erase_at, change.revision, user_id))

    def show(self, user_id: int, change: Change) -> None:
        self._execute("UPDATE users SET erase_at = NULL, revision = ? WHERE id = ?", (change.revision, user_id))

    def erase(self, user_id: int, change: Change) -> None:
        """Write over whatever is kept of a user."""
        where = "id IN (SELECT name_id FROM users WHERE id = ?1 UNION SELECT details_id FROM users WHERE id = ?1)"
        self._write_over("texts", "content", where, user_id, change)
        self._write_over("embeddings", "vector", "user_id = ?", user_id, change)
        self._write_over("recordings", "content", "user_id = ?", user_id, change)
        self._execute("DELETE FROM users WHERE id = ?", (user_id,))
        self._execute("INSERT INTO removed VALUES (?, ?)", (change.revision, user_id))

    def overdue(self, now: str) -> list[tuple[int, str]]:
        """Whose time is over, and what becomes of them: users who expire, and removed ones past their grace time."""
        over = "SELECT id, CASE WHEN expires <= COALESCE(erase_at, expires) THEN 'expire' ELSE 'erase' END FROM users"
        query = f"{over} WHERE expires <= ?1 UNION {over} WHERE erase_at <= ?1"
        return self._execute(query, (now,)).fetchall()

    def num_recordings(self, user_id: int) -> int:
        (num,) = self._execute("SELECT COUNT(*) FROM embeddings WHERE user_id = ?", (user_id,)).fetchone()
        return int(num)

    def tag(self, user_id: int) -> bytes:
        (tag,) = self._execute("SELECT tag FROM users WHERE id = ?", (user_id,)).fetchone()
        return bytes(tag)

    def name(self, user_id: int) -> str:
        query = "SELECT content FROM users JOIN texts ON texts.id = name_id WHERE users.id = ?"
        return self.open_name(user_id, *self._execute(query, (user_id,)).fetchone())

    def open_name(self, user_id: int, stored: bytes) -> str:
        return self._seal.open(stored, user_id, "name").decode()

    def open_details(self, user_id: int, stored: bytes | None, expires: str | None) -> UserDetails:
        text = None if stored is None else self._seal.open(stored, user_id, "details")
        return details_from_json(text, None if expires is None else as_time(expires))

    def held(self, traces: frozenset[bytes]) -> frozenset[bytes]:
        """Of these the ones that are a part of what is kept of anybody."""
        queries = [f"SELECT 1 FROM {table} WHERE instr({column}, ?)" for table, column in PERSONAL]
        return frozenset(
            trace for trace in traces if any(self._execute(query, (trace,)).fetchone() is not None for query in queries)
        )

    def _id(self, query: str, name: bytes) -> int | None:
        row = self._execute(query, (tag_of(name, self._tag_key),)).fetchone()
        return None if row is None else int(row[0])

    def _add_text(self, user_id: int, content: bytes) -> int:
        text_id = self._execute("INSERT INTO texts (user_id, content) VALUES (?, ?)", (user_id, content)).lastrowid
        assert text_id is not None
        return text_id

    def _write_over(self, table: str, column: str, where: str, user_id: int, change: Change) -> None:
        rows = self._execute(f"SELECT id, {column} FROM {table} WHERE {where}", (user_id,)).fetchall()
        put = [(change.written.filler(bytes(stored)), row_id) for row_id, stored in rows]
        self._execute_many(f"UPDATE {table} SET {column} = ? WHERE id = ?", put)
