"""A gallery under another key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_seal import Plain, Seal

# Whatever is sealed: table, column, which rows, the number that it is bound to, and its kind or that with the row's.
SEALED = (
    ("texts", "content", "id IN (SELECT name_id FROM users)", "user_id", "name"),
    ("texts", "content", "id IN (SELECT details_id FROM users)", "user_id", "details"),
    ("embeddings", "vector", "typeof(vector) = 'blob'", "user_id", "embedding"),
    ("recordings", "content", "typeof(content) = 'blob'", "user_id", "recording {}"),
    ("events", "made_by", "made_by IS NOT NULL", "id", "by"),
    ("copies", "description", "TRUE", "id", "copy"),
)
ROWS_AT_ONCE = 1000


def seal_anew(connection: sqlite3.Connection, old: Seal, new: Seal) -> None:
    """Open with the old key and seal with the new one whatever is sealed; inside the caller's transaction.

    Rows move on that occasion: the file is to be written anew. Raises GalleryError where recordings would lie open.
    """
    (num_recordings,) = connection.execute("SELECT COUNT(*) FROM recordings WHERE typeof(content) = 'blob'").fetchone()
    if isinstance(new, Plain) and num_recordings:
        raise GalleryError(f"{num_recordings} recordings are kept, and these are never stored without a key")
    for table, column, where, number, kind in SEALED:
        _seal_column(connection, table, column, f"{where} AND {table}.id > ?", number, _resealing(old, new, kind))
    (tag_key,) = connection.execute("SELECT tag_key FROM meta").fetchone()
    sealed = new.close(old.open(tag_key, 0, "tag key"), 0, "tag key")
    query = "UPDATE meta SET tag_key = ?, key_check = ?, revision = revision + 1, tidy = 0"
    connection.execute(query, (sealed, new.key_check()))


def _seal_column(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    where: str,
    number: str,
    reseal: Callable[[int, int, bytes], bytes],
) -> None:
    query = f"SELECT id, {number}, {column} FROM {table} WHERE {where} ORDER BY id LIMIT {ROWS_AT_ONCE}"
    for rows in _batches(connection, query):
        changed = [(reseal(row_id, bound, stored), row_id) for row_id, bound, stored in rows]
        connection.executemany(f"UPDATE {table} SET {column} = ? WHERE id = ?", changed)


def _batches(connection: sqlite3.Connection, query: str) -> Iterator[list[tuple[int, int, bytes]]]:
    last = 0
    while rows := connection.execute(query, (last,)).fetchall():
        yield rows
        last = rows[-1][0]


def _resealing(old: Seal, new: Seal, kind: str) -> Callable[[int, int, bytes], bytes]:
    def reseal(row_id: int, number: int, stored: bytes) -> bytes:
        column = kind.format(row_id)
        return new.close(old.open(stored, number, column), number, column)

    return reseal
