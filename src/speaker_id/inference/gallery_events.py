"""The audit log of a gallery file, and the list of its copies; every call is a part of its caller's transaction."""

from __future__ import annotations

from speaker_id.contracts import GalleryCopy, GalleryEvent
from speaker_id.inference.gallery_file import GalleryFile
from speaker_id.inference.gallery_records import as_time
from speaker_id.inference.gallery_schema import tag_of
from speaker_id.inference.gallery_users import Change


class EventTable:
    """Events by number; who did it, and where copies are, sealed as the file is."""

    def __init__(self, file: GalleryFile) -> None:
        self._seal = file.seal
        self._tag_key = file.tag_key
        self._execute = file.connection.execute

    def add(
        self, action: str, change: Change, *, tag: bytes | None = None, num_recordings: int = 0, by: str | None = None
    ) -> None:
        number = self._next("events")
        made_by = None if by is None else self._seal.close(by.encode(), number, "by")
        query = "INSERT INTO events (id, time, action, tag, num_recordings, made_by) VALUES (?, ?, ?, ?, ?, ?)"
        self._execute(query, (number, change.now, action, tag, num_recordings, made_by))

    def newest(self, name: bytes | None, limit: int) -> list[GalleryEvent]:
        where, values = ("", ()) if name is None else ("WHERE tag = ?", (tag_of(name, self._tag_key),))
        query = f"SELECT id, time, action, tag, num_recordings, made_by FROM events {where} ORDER BY id DESC LIMIT ?"
        return [self._opened(*row) for row in self._execute(query, (*values, limit))]

    def add_copy(self, description: str, change: Change) -> None:
        number = self._next("copies")
        sealed = self._seal.close(description.encode(), number, "copy")
        self._execute("INSERT INTO copies (id, time, description) VALUES (?, ?, ?)", (number, change.now, sealed))

    def copies(self) -> list[GalleryCopy]:
        rows = self._execute("SELECT id, time, description FROM copies ORDER BY id DESC")
        open_ = self._seal.open
        return [GalleryCopy(as_time(time), open_(stored, number, "copy").decode()) for number, time, stored in rows]

    def _opened(
        self, number: int, time: str, action: str, tag: bytes | None, num_recordings: int, made_by: bytes | None
    ) -> GalleryEvent:
        by = None if made_by is None else self._seal.open(made_by, number, "by").decode()
        return GalleryEvent(as_time(time), action, None if tag is None else tag.hex(), num_recordings, by)

    def _next(self, table: str) -> int:
        (number,) = self._execute(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}").fetchone()
        return int(number)
