"""Embeddings made ready: what a back end works out once per recording, so that a trial costs one product."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.scoring.pairs import BLOCK_SCORES, FloatArray, IndexArray, cosine, score_trials


@dataclass(frozen=True, eq=False)
class Prepared:
    """score(i, j) = (enrol_scale[i] + test_scale[j]) rows[i] · rows[j] + enrol_shift[i] + test_shift[j].

    Every back end here has this form. `rows` (N, D) are unit rows or shorter, float32; the others are (N,).
    """

    rows: FloatArray
    enrol_scale: FloatArray
    test_scale: FloatArray
    enrol_shift: FloatArray
    test_shift: FloatArray

    def score(self, enrol_index: ArrayLike, test_index: ArrayLike) -> FloatArray:
        """Trial by trial: row numbers (M,), (M,) -> (M,). Raises `DataError` for rows that do not exist."""
        scores = score_trials(self.rows, enrol_index, test_index)
        if not scores.size:
            return scores
        enrol, test = np.asarray(enrol_index), np.asarray(test_index)
        scores *= self.enrol_scale[enrol] + self.test_scale[test]
        scores += self.enrol_shift[enrol] + self.test_shift[test]
        return scores

    def matrix(self, enrol_index: IndexArray | slice, test_index: IndexArray | slice) -> FloatArray:
        """Each enrolment against each test: row numbers (A,), (B,), or slices -> (A, B)."""
        scores = cosine(self.rows[enrol_index], self.rows[test_index])
        scores *= self.enrol_scale[enrol_index, None] + self.test_scale[test_index]
        scores += self.enrol_shift[enrol_index, None] + self.test_shift[test_index]
        return scores

    def all_pairs(self) -> FloatArray:
        """All pairs i < j in the order of `pair_indices`, i enrolled: (N (N - 1) / 2,), faster than by `score`."""
        num = len(self.rows)
        scores, filled = np.empty(num * (num - 1) // 2, np.float32), 0
        step = max(1, BLOCK_SCORES // max(1, num))
        for start in range(0, num, step):
            block = self.matrix(slice(start, start + step), slice(start, num))
            chosen = block[~np.tri(*block.shape, dtype=np.bool_)]
            scores[filled : filled + chosen.size] = chosen
            filled += chosen.size
        return scores


def plain(rows: FloatArray) -> Prepared:
    """Cosines as they are: (N, D) unit rows."""
    ones, zeros = np.ones(len(rows), np.float32), np.zeros(len(rows), np.float32)
    return Prepared(rows, ones, zeros, zeros, zeros)
