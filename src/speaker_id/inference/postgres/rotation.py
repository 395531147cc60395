"""A gallery under another key."""

from __future__ import annotations

from psycopg import sql

from speaker_id.errors import GalleryError
from speaker_id.inference.postgres.change import Change
from speaker_id.inference.postgres.database import one_row
from speaker_id.inference.postgres.nearest import drop_means
from speaker_id.inference.postgres.store import TAG_KEY, Store


def check_old_key(old: Store) -> None:
    """Raises GalleryError where the gallery is under another one."""
    with old.database.connection() as connection:
        (key_check,) = one_row(connection, "SELECT key_check FROM meta")
    if not old.seal.fits(key_check):
        raise GalleryError(f"the old key is not the one of {old.database.address.shown}: nothing was changed")


def seal_anew(old: Store, new: Store, change: Change) -> None:
    """Open with the old key and seal with the new one whatever is sealed; inside the caller's transaction."""
    execute = change.connection.execute
    execute("SET LOCAL statement_timeout = 0")
    drop_means(change)
    for (user_id,) in execute("SELECT id FROM users").fetchall():
        _seal_user(old, new, user_id, change)
        _seal_embeddings(old, new, user_id, change)
    _seal_column(old, new, "events", "made_by", "by", change)
    _seal_column(old, new, "copies", "description", "copy", change)
    tag_key = new.seal.close(new.tag_key, 0, TAG_KEY)
    execute("UPDATE meta SET key_check = %s, tag_key = %s", (new.seal.key_check(), tag_key))
    execute("UPDATE users SET revision = %s", (change.revision,))
    change.made = True


def _seal_user(old: Store, new: Store, user_id: int, change: Change) -> None:
    execute = change.connection.execute
    name, details = one_row(change.connection, "SELECT name, details FROM users WHERE id = %s", user_id)
    plain = old.seal.open(name, user_id, "name")
    if details is not None:
        details = new.seal.close(old.seal.open(details, user_id, "details"), user_id, "details")
    query = "UPDATE users SET name = %s, details = %s WHERE id = %s"
    execute(query, (new.seal.close(plain, user_id, "name"), details, user_id))


def _seal_embeddings(old: Store, new: Store, user_id: int, change: Change) -> None:
    execute = change.connection.execute
    query = """SELECT id, vector, content FROM embeddings LEFT JOIN recordings ON embedding_id = id
               WHERE user_id = %s"""
    for row_id, vector, content in execute(query, (user_id,)).fetchall():
        sealed = new.seal.close(old.seal.open(vector, user_id, "embedding"), user_id, "embedding")
        execute("UPDATE embeddings SET vector = %s WHERE id = %s", (sealed, row_id))
        if content is not None:
            column = f"recording {row_id}"
            sealed = new.seal.close(old.seal.open(content, user_id, column), user_id, column)
            execute("UPDATE recordings SET content = %s WHERE embedding_id = %s", (sealed, row_id))


def _seal_column(old: Store, new: Store, table: str, column: str, context: str, change: Change) -> None:
    execute = change.connection.execute
    query = sql.SQL("SELECT id, {} FROM {} WHERE {} IS NOT NULL")
    update = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(sql.Identifier(table), sql.Identifier(column))
    names = (sql.Identifier(column), sql.Identifier(table), sql.Identifier(column))
    for number, stored in execute(query.format(*names)).fetchall():
        execute(update, (new.seal.close(old.seal.open(stored, number, context), number, context), number))
