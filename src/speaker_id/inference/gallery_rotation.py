"""A gallery under another key."""

import sqlite3

from speaker_id.inference.gallery_seal import Seal


def seal_anew(connection: sqlite3.Connection, old: Seal, new: Seal) -> None:
    """Open with the old key and seal with the new one whatever is sealed; inside the caller's transaction."""
    user_ids = [user_id for (user_id,) in connection.execute("SELECT id FROM users")]
    for user_id in user_ids:
        _seal_user(connection, user_id, old, new)
        _seal_embeddings(connection, user_id, old, new)
    connection.execute("UPDATE meta SET key_check = ?, revision = revision + 1", (new.key_check(),))
    connection.execute("UPDATE users SET revision = (SELECT revision FROM meta)")


def _seal_user(connection: sqlite3.Connection, user_id: int, old: Seal, new: Seal) -> None:
    query = "SELECT name, sealed_name, details FROM users WHERE id = ?"
    name, sealed_name, details = connection.execute(query, (user_id,)).fetchone()
    plain = name if sealed_name is None else old.open(sealed_name, user_id, "name")
    lookup = new.lookup(plain)
    resealed = None if lookup == plain else new.close(plain, user_id, "name")
    if details is not None:
        details = new.close(old.open(details, user_id, "details"), user_id, "details")
    query = "UPDATE users SET name = ?, sealed_name = ?, details = ? WHERE id = ?"
    connection.execute(query, (lookup, resealed, details, user_id))


def _seal_embeddings(connection: sqlite3.Connection, user_id: int, old: Seal, new: Seal) -> None:
    query = "SELECT id, vector FROM embeddings WHERE user_id = ?"
    for row_id, vector in connection.execute(query, (user_id,)).fetchall():
        sealed = new.close(old.open(vector, user_id, "embedding"), user_id, "embedding")
        connection.execute("UPDATE embeddings SET vector = ? WHERE id = ?", (sealed, row_id))
