"""The rows of users in a gallery; every call is a part of its caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from speaker_id.contracts import UserDetails
from speaker_id.inference.gallery_records import details_as_json, details_from_json, merged
from speaker_id.inference.gallery_schema import tag_of
from speaker_id.inference.postgres.change import Change
from speaker_id.inference.postgres.database import one_row
from speaker_id.inference.postgres.store import Store

ALIVE = "(erase_at IS NULL AND (expires IS NULL OR expires > %(now)s))"


class Row(NamedTuple):
    """A user as found in the table."""

    id: int
    removed: bool  # and could be restored


class UserTable:
    """Users by number, sealed as the gallery is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seal = store.seal

    def find(self, name: bytes, change: Change) -> Row | None:
        query = "SELECT id, erase_at IS NOT NULL FROM users WHERE tag = %s"
        row = change.connection.execute(query, (self._tag(name),)).fetchone()
        return None if row is None else Row(*row)

    def there(self, name: bytes, change: Change) -> int | None:
        """The number of a user who is not removed."""
        row = self.find(name, change)
        return None if row is None or row.removed else row.id

    def add(self, name: bytes, created: datetime, change: Change) -> int:
        """The name is sealed for the number, which is known once the row is there."""
        query = """INSERT INTO users (tag, name, created, changed, revision) VALUES (%s, '', %s, %s, %s)
                   RETURNING id"""
        user_id = change.number(query, self._tag(name), created, change.now, change.revision)
        sealed = self._seal.close(name, user_id, "name")
        change.connection.execute("UPDATE users SET name = %s WHERE id = %s", (sealed, user_id))
        return user_id

    def _tag(self, name: bytes) -> bytes:
        return tag_of(name, self._store.tag_key)

    def add_vector(
        self, user_id: int, vector: bytes, recording: bytes | None, created: datetime, change: Change
    ) -> None:
        query = "INSERT INTO embeddings (user_id, vector, created) VALUES (%s, %s, %s) RETURNING id"
        embedding_id = change.number(query, user_id, self._seal.close(vector, user_id, "embedding"), created)
        if recording is not None:
            content = self._seal.close(recording, user_id, f"recording {embedding_id}")
            change.connection.execute("INSERT INTO recordings VALUES (%s, %s)", (embedding_id, content))

    def touch(self, user_id: int, created: datetime, change: Change) -> None:
        """Mark as changed, and as there since `created` if that is earlier."""
        query = "UPDATE users SET changed = %s, revision = %s, created = LEAST(created, %s) WHERE id = %s"
        change.connection.execute(query, (change.now, change.revision, created, user_id))
        change.made = True

    def merge_details(self, user_id: int, new: UserDetails, change: Change) -> None:
        """Consent and expiry where they are given, metadata key by key."""
        query = "SELECT details, expires FROM users WHERE id = %s"
        stored, expires = one_row(change.connection, query, user_id)
        text = None if stored is None else self._seal.open(stored, user_id, "details")
        self.write_details(user_id, merged(details_from_json(text, expires), new), change)

    def write_details(self, user_id: int, details: UserDetails, change: Change) -> None:
        stored = self._seal.close(details_as_json(details), user_id, "details")
        query = "UPDATE users SET details = %s, expires = %s WHERE id = %s"
        change.connection.execute(query, (stored, details.expires, user_id))

    def hide(self, user_id: int, erase_at: datetime, change: Change) -> None:
        query = "UPDATE users SET erase_at = %s, revision = %s WHERE id = %s"
        change.connection.execute(query, (erase_at, change.revision, user_id))
        change.made = True

    def show(self, user_id: int, change: Change) -> None:
        query = "UPDATE users SET erase_at = NULL, revision = %s WHERE id = %s"
        change.connection.execute(query, (change.revision, user_id))
        change.made = True

    def delete(self, user_id: int, change: Change) -> None:
        change.connection.execute("DELETE FROM users WHERE id = %s", (user_id,))  # and all that refers to it
        change.connection.execute("INSERT INTO removed VALUES (%s, %s)", (change.revision, user_id))
        change.made = change.deleted = True

    def tag(self, user_id: int, change: Change) -> bytes:
        [tag] = one_row(change.connection, "SELECT tag FROM users WHERE id = %s", user_id)
        return bytes(tag)

    def num_recordings(self, user_id: int, change: Change) -> int:
        return change.number("SELECT count(*) FROM embeddings WHERE user_id = %s", user_id)

    def overdue(self, change: Change) -> list[tuple[int, str]]:
        """Whose time is over, and what becomes of them: users who expire, and removed ones past their grace time."""
        query = """SELECT id, CASE WHEN expires <= %(now)s THEN 'expire' ELSE 'erase' END FROM users
                   WHERE (expires IS NOT NULL OR erase_at IS NOT NULL) AND LEAST(expires, erase_at) <= %(now)s"""
        return change.connection.execute(query, {"now": change.now}).fetchall()
