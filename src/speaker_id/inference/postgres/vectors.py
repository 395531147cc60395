"""Embeddings out of the database, opened to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speaker_id.contracts import FloatArray
from speaker_id.inference.gallery_index import Ids
from speaker_id.inference.gallery_vectors import ROWS_AT_ONCE, Rows, grouped_rows, opened_rows
from speaker_id.inference.postgres.database import Connection
from speaker_id.inference.postgres.store import Store


def read_vectors(store: Store, stored: Sequence[tuple[int, bytes]]) -> Rows:
    """User numbers and rows (n, E) of stored vectors. Raises GalleryError for one of another length."""
    return opened_rows(store.seal, store.dim, stored, store.database.address.shown)


def read_grouped(
    store: Store, connection: Connection, query: str, parameters: Mapping[str, int], num: int = 0
) -> tuple[Ids, FloatArray]:
    """User numbers, grouped, and their rows as they were enrolled: (n,), (n, E). `num` is a guess of n."""
    with connection.cursor("voices") as cursor:  # named: the server hands over a batch at a time
        cursor.execute(query, parameters, binary=True)
        batches = iter(lambda: cursor.fetchmany(ROWS_AT_ONCE), [])
        return grouped_rows((read_vectors(store, batch) for batch in batches), store.dim, num)
