"""One transaction that changes a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from speaker_id.inference.postgres.database import Connection, one_row
from speaker_id.inference.postgres.store import Store


@dataclass
class Change:
    """What a transaction writes with, and what it has done so far."""

    connection: Connection
    revision: int  # the gallery's, once this is committed
    now: datetime
    nearest: bool  # mean voices are kept for approximate search
    made: bool = False
    deleted: bool = False  # rows are gone, and wait to be vacuumed

    def number(self, query: LiteralString, *parameters: object) -> int:
        """What a query answers with."""
        return int(one_row(self.connection, query, *parameters)[0])


@contextmanager
def changing(store: Store, now: datetime) -> Iterator[Change]:
    """Whatever leaves it early has changed nothing.

    The lock on the row of `meta` lets one writer at a time in. Revisions are therefore committed in their order, and
    a reader who has seen one has seen all before it.
    """
    query = "SELECT revision + 1, key_check, nearest FROM meta FOR UPDATE"
    with store.database.writing() as connection:
        revision, key_check, nearest = one_row(connection, query)
        store.check_key(key_check)
        change = Change(connection, revision, now, nearest)
        yield change
        if change.made:
            connection.execute("UPDATE meta SET revision = %s", (revision,))
        if change.deleted:  # counted now, not after the vacuum that counts again
            connection.execute("SELECT pg_stat_force_next_flush()")
