"""Making what was deleted go: PostgreSQL keeps dead rows until somebody vacuums."""

from __future__ import annotations

from typing import NamedTuple

from speaker_id.contracts import GalleryCopy
from speaker_id.errors import GalleryError
from speaker_id.inference.postgres.database import one_row
from speaker_id.inference.postgres.store import Store

TABLES = ("users", "embeddings", "recordings")  # of whatever belongs to one user
ALL_TABLES = (*TABLES, "events", "copies", "removed", "meta")


class Erasure(NamedTuple):
    """What became of one removed user."""

    user: str
    num_recordings: int  # erased
    copies: tuple[GalleryCopy, ...]  # exports and backups of this gallery: out of reach, and the user may be in them
    left: int  # dead rows, of anybody, that a transaction of somebody's may still look at: a later vacuum takes them


def vacuum(store: Store, nearest: bool) -> int:
    """Take dead rows out of tables and indexes. Returns how many had to stay, for somebody's open transaction."""
    tables = [*TABLES, "means"] if nearest else TABLES
    query = """SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables
               WHERE schemaname = current_schema() AND relname = ANY(%s)"""
    try:
        _vacuum(store, f"VACUUM (INDEX_CLEANUP ON) {', '.join(tables)}")
        with store.database.connection() as connection:
            (left,) = one_row(connection, query, list(tables))
    except GalleryError as error:
        raise GalleryError(f"the change is made, but what was deleted may not be vacuumed yet: {error}") from error
    return int(left)


def rewrite(store: Store) -> None:
    """Write every table anew; nobody else can use the gallery meanwhile."""
    _vacuum(store, f"VACUUM (FULL) {', '.join(ALL_TABLES)}")


def _vacuum(store: Store, statement: str) -> None:
    """Vacuuming takes as long as the tables are large, and is no part of a transaction."""
    with store.database.connection() as connection:
        connection.execute("SET statement_timeout = 0")
        try:
            connection.execute(statement)
        finally:
            if not connection.closed:
                connection.execute("RESET statement_timeout")
