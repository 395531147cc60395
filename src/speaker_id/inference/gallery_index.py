"""The searchable side of a gallery: unit vectors in a float32 matrix, compared exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.inference.centroids import centroids

Ids = NDArray[np.int64]

# float32 rounding of a cosine stays far below this: candidates within it are compared again in float64.
ROUNDING = 1e-5
BLOCK_SCORES = 2**24  # rough scores held at once by a search for many: 64 MB


class Found(NamedTuple):
    """Users by number, (n,), who are among the best, and their scores, (n,)."""

    users: Ids
    scores: NDArray[np.float64]


class VoiceIndex:
    """Users by number and their unit rows, several a user. A change costs the same however much was there before.

    `best=None` keeps one row a user, the direction of the mean; `best=k` keeps all of them and scores by the mean of
    the k best cosines.
    """

    def __init__(self, best: int | None, users: Ids, rows: FloatArray) -> None:
        """`users` (n,), grouped, and their rows (n, E)."""
        self._best = best
        self._users, self._rows = self._kept(users, rows)  # beyond self._size is spare room
        self._size = len(self._users)
        self._groups: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return self._size

    def replace(self, gone: Ids, users: Ids, rows: FloatArray) -> None:
        """Forget the users `gone`, then add `users` (n,), grouped, with their rows (n, E)."""
        self._drop(gone)
        users, rows = self._kept(users, rows)
        self._make_room(len(users))
        new = slice(self._size, self._size + len(users))
        self._users[new], self._rows[new] = users, rows
        self._size += len(users)
        self._groups = None

    def search(self, queries: FloatArray, limit: int) -> list[Found]:
        """For each unit row of (Q, E) the `limit` best, in no order; ties at the end are all there.

        A matrix product sums in an order that depends on the row. The few that could be among the best are therefore
        computed again row by row in float64, so that a score depends on the two voices and on nothing else.
        """
        if self._size == 0:
            return [Found(np.zeros(0, np.int64), np.zeros(0)) for _ in queries]
        step = max(1, BLOCK_SCORES // self._size)
        blocks = (queries[start : start + step] for start in range(0, len(queries), step))
        return [
            _without_the_rest(self._refine(query, rough, limit), limit)
            for block in blocks
            for query, rough in zip(block, block @ self._rows[: self._size].T, strict=True)
        ]

    def _refine(self, query: FloatArray, rough: FloatArray, limit: int) -> Found:
        if self._best is None:
            return self._exact(query, np.flatnonzero(rough >= _nth_best(rough, limit) - ROUNDING))
        # The mean of some cosines is at most the greatest: nobody below the worst score of `limit` others can win.
        order, starts = self._grouped()
        greatest = np.maximum.reduceat(rough[order], starts)
        first = np.flatnonzero(greatest >= _nth_best(greatest, limit))
        reached = _nth_best(self._exact(query, self._rows_of(first)).scores, limit)
        return self._exact(query, self._rows_of(np.flatnonzero(greatest >= reached - ROUNDING)))

    def _exact(self, query: FloatArray, rows: NDArray[np.intp]) -> Found:
        """Scores of whole users; their rows are given, grouped."""
        cosines = np.clip((self._rows[rows].astype(np.float64) * query).sum(axis=1), -1.0, 1.0)
        users = self._users[rows]
        if self._best is None:
            return Found(users, cosines)
        order = np.lexsort((-cosines, users))
        users, cosines = users[order], cosines[order]
        starts = starts_of(users)
        rank = np.arange(len(users)) - np.repeat(starts, np.diff(starts, append=len(users)))
        among_best = rank < self._best
        users, cosines = users[among_best], cosines[among_best]
        starts = starts_of(users)
        return Found(users[starts], np.add.reduceat(cosines, starts) / np.diff(starts, append=len(users)))

    def _grouped(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows in the order of their users, and where each user starts in it."""
        if self._groups is None:
            order = np.argsort(self._users[: self._size], kind="stable")
            self._groups = order, starts_of(self._users[order])
        return self._groups

    def _rows_of(self, groups: NDArray[np.intp]) -> NDArray[np.intp]:
        order, starts = self._grouped()
        ends = np.append(starts[1:], self._size)
        lengths = ends[groups] - starts[groups]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rows: NDArray[np.intp] = order[np.repeat(starts[groups], lengths) + within]
        return rows

    def _kept(self, users: Ids, rows: FloatArray) -> tuple[Ids, FloatArray]:
        starts = starts_of(users)
        if self._best is not None or len(starts) == len(users):
            return users, rows
        return users[starts], centroids(rows, starts)

    def _drop(self, gone: Ids) -> None:
        """The last rows move into the gaps; the memory of what is gone is overwritten."""
        if len(gone) == 0:
            return
        there = np.isin(self._users[: self._size], gone)
        if not there.any():
            return
        size = self._size - int(there.sum())
        gaps, movers = np.flatnonzero(there[:size]), size + np.flatnonzero(~there[size:])
        self._users[gaps], self._rows[gaps] = self._users[movers], self._rows[movers]
        self._users[size : self._size] = 0
        self._rows[size : self._size] = 0
        self._size, self._groups = size, None

    def _make_room(self, num: int) -> None:
        if (missing := self._size + num - len(self._users)) > 0:
            spare = max(16, missing, self._size // 4)
            self._users = np.concatenate([self._users, np.zeros(spare, np.int64)])
            self._rows = np.concatenate([self._rows, np.zeros((spare, self._rows.shape[1]), np.float32)])


def _without_the_rest(found: Found, limit: int) -> Found:
    """The `limit` best, and whoever ties with the last of them."""
    among = found.scores >= _nth_best(found.scores, limit)
    return Found(found.users[among], found.scores[among])


def starts_of(users: Ids) -> NDArray[np.intp]:
    """Where each user begins among grouped numbers (n,)."""
    return np.flatnonzero(np.diff(users, prepend=users[:1] - 1))


def _nth_best(scores: NDArray[np.floating], limit: int) -> float:
    if limit > len(scores):
        return -np.inf
    return float(np.partition(scores, len(scores) - limit)[len(scores) - limit])
