"""The searchable side of a gallery: one unit vector per user in a float32 matrix, compared exactly."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# float32 rounding of a cosine stays far below this: candidates within it are compared again in float64.
ROUNDING = 1e-5


def centroids(embeddings: NDArray[np.float32], starts: Sequence[int]) -> NDArray[np.float32]:
    """The directions of the means of consecutive groups of unit rows: (n, E), where each starts -> (len(starts), E).

    Zeros where opposite rows cancel out.
    """
    sums: NDArray[np.float64] = np.add.reduceat(embeddings, starts, axis=0, dtype=np.float64)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.where(norms > 1e-12, norms, np.inf)
    return sums.astype(np.float32)


class CentroidIndex:
    """Users and their centroids. Adding or dropping one costs the same however many there are."""

    def __init__(self, users: Sequence[str], matrix: NDArray[np.float32]) -> None:
        """Different users and their centroids, (len(users), E)."""
        self._matrix = matrix  # rows beyond len(self._names) are spare room
        self._names = list(users)
        self._rows = {user: row for row, user in enumerate(users)}

    def __len__(self) -> int:
        return len(self._names)

    def put(self, user: str, centroid: NDArray[np.float32]) -> None:
        """Set the centroid (E,) of a user, new or known."""
        row = self._rows.setdefault(user, len(self._names))
        if row == len(self._names):
            self._names.append(user)
        if row == len(self._matrix):
            spare = np.zeros((max(16, row), self._matrix.shape[1]), np.float32)
            self._matrix = np.concatenate([self._matrix, spare])
        self._matrix[row] = centroid

    def drop(self, user: str) -> None:
        """Forget one user; the last row moves into the gap."""
        if (row := self._rows.pop(user, None)) is None:
            return
        last_user = self._names.pop()
        if last_user != user:
            self._names[row] = last_user
            self._rows[last_user] = row
            self._matrix[row] = self._matrix[len(self._names)]
        self._matrix[len(self._names)] = 0

    def search(self, embedding: NDArray[np.float32], limit: int) -> list[tuple[str, float]]:
        """The users most like a unit vector (E,), with cosines in [-1, 1]: best first, ties by name.

        A matrix product sums in an order that depends on the row. The few that could be among the best are therefore
        computed again row by row in float64, so that a score depends on the two voices and on nothing else.
        """
        size = len(self._names)
        if size == 0:
            return []
        rough = self._matrix[:size] @ embedding
        worst = np.partition(rough, size - limit)[size - limit] if limit < size else -np.inf
        rows = np.flatnonzero(rough >= worst - ROUNDING)
        scores = np.clip((self._matrix[rows].astype(np.float64) * embedding).sum(axis=1), -1.0, 1.0)
        found = [(self._names[row], float(score)) for row, score in zip(rows, scores, strict=True)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]
