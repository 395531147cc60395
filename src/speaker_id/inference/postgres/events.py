"""The audit log of a gallery, and where copies of it went; written in the transaction of the change itself."""

from __future__ import annotations

from datetime import UTC, datetime

from speaker_id.contracts import GalleryCopy, GalleryEvent
from speaker_id.inference.gallery_schema import tag_of
from speaker_id.inference.postgres.change import Change
from speaker_id.inference.postgres.database import Connection
from speaker_id.inference.postgres.store import Store


class EventTable:
    """Events by number; who did it, and where copies are, sealed as the gallery is."""

    def __init__(self, store: Store) -> None:
        self._seal = store.seal
        self._tag_key = store.tag_key

    def add(
        self, action: str, change: Change, *, tag: bytes | None = None, num_recordings: int = 0, by: str | None = None
    ) -> None:
        number = change.number("SELECT coalesce(max(id), 0) + 1 FROM events")
        made_by = None if by is None else self._seal.close(by.encode(), number, "by")
        query = """INSERT INTO events (id, time, action, tag, num_recordings, made_by)
                   VALUES (%s, %s, %s, %s, %s, %s)"""
        change.connection.execute(query, (number, change.now, action, tag, num_recordings, made_by))
        change.made = True

    def newest(self, connection: Connection, name: bytes | None, limit: int) -> list[GalleryEvent]:
        """Of a name, or of everybody."""
        tag = None if name is None else tag_of(name, self._tag_key)
        query = """SELECT id, time, action, tag, num_recordings, made_by FROM events
                   WHERE %(tag)s::bytea IS NULL OR tag = %(tag)s ORDER BY id DESC LIMIT %(limit)s"""
        rows = connection.execute(query, {"tag": tag, "limit": limit}, binary=True).fetchall()
        return [self._opened(*row) for row in rows]

    def add_copy(self, description: str, change: Change) -> None:
        number = change.number("SELECT coalesce(max(id), 0) + 1 FROM copies")
        sealed = self._seal.close(description.encode(), number, "copy")
        query = "INSERT INTO copies (id, time, description) VALUES (%s, %s, %s)"
        change.connection.execute(query, (number, change.now, sealed))

    def copies(self, connection: Connection) -> list[GalleryCopy]:
        """Newest first."""
        query = "SELECT id, time, description FROM copies ORDER BY id DESC"
        rows = connection.execute(query, binary=True).fetchall()
        return [GalleryCopy(time.astimezone(UTC), self._words(text, number, "copy")) for number, time, text in rows]

    def _opened(
        self, number: int, time: datetime, action: str, tag: bytes | None, num: int, made_by: bytes | None
    ) -> GalleryEvent:
        by = None if made_by is None else self._words(made_by, number, "by")
        return GalleryEvent(time.astimezone(UTC), action, None if tag is None else tag.hex(), num, by)

    def _words(self, stored: bytes, number: int, column: str) -> str:
        return bytes(self._seal.open(stored, number, column)).decode()
