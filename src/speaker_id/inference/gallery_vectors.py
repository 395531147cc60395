"""Embeddings as a gallery stores them, opened to rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from speaker_id.contracts import FloatArray
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_index import Ids
from speaker_id.inference.gallery_seal import Seal

ROWS_AT_ONCE = 2048  # to be read from a store in one go: their bytes fit into a processor's cache

Rows = tuple[Sequence[int], FloatArray]  # user numbers, one a row, and unit rows (n, E)


def opened_rows(seal: Seal, dim: int, stored: Sequence[tuple[int, bytes]], where: object) -> Rows:
    """Raises GalleryError, naming where it was, for a vector of another length than `dim` (E)."""
    if not stored:
        return (), np.zeros((0, dim), np.float32)
    users, sealed = zip(*stored, strict=True)
    vectors = seal.open_all(sealed, users, "embedding")
    if set(map(len, vectors)) != {4 * dim}:
        raise GalleryError(f"{where} is damaged: it holds vectors that are not {dim} numbers long")
    return users, np.frombuffer(b"".join(vectors), dtype="<f4").reshape(-1, dim)


def grouped_rows(batches: Iterable[Rows], dim: int, num: int = 0) -> tuple[Ids, FloatArray]:
    """All batches together, user after user: (n,), (n, E). `num` is a guess of n."""
    users, rows = np.empty(num, np.int64), np.empty((num, dim), np.float32)
    size = 0
    for some_users, some_rows in batches:
        end = size + len(some_rows)
        if end > len(users):
            users, rows = np.resize(users, 2 * end), np.resize(rows, (2 * end, dim))
        users[size:end], rows[size:end] = some_users, some_rows
        size = end
    users, rows = users[:size], rows[:size]
    if np.any(np.diff(users) < 0):
        order = np.argsort(users, kind="stable")
        users, rows = users[order], rows[order]
    return users, rows
