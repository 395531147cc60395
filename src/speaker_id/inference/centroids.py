"""The mean voice of a user: the direction of the mean of that user's unit embeddings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK_GROUPS = 2**16  # groups summed at once in float64: 100 MB at 192 numbers and one row each


def centroids(embeddings: NDArray[np.float32], starts: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
    """The directions of the means of consecutive groups of unit rows: (n, E), where each starts -> (len(starts), E).

    A single row is its own. Zeros where opposite rows cancel out.
    """
    starts = np.asarray(starts, dtype=np.intp)
    ends = np.append(starts[1:], len(embeddings))
    found = np.empty((len(starts), embeddings.shape[1]), np.float32)
    for first in range(0, len(starts), BLOCK_GROUPS):
        block = slice(first, first + BLOCK_GROUPS)
        offset, end = starts[block][0], ends[block][-1]
        found[block] = _directions(embeddings[offset:end], starts[block] - offset)
    alone = np.flatnonzero(ends - starts == 1)
    found[alone] = embeddings[starts[alone]]
    return found


def _directions(embeddings: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.add.reduceat(embeddings, starts, axis=0, dtype=np.float64)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.where(norms > 1e-12, norms, np.inf)
    return sums
