"""Cosine scores of speaker embeddings, in blocks, so that memory holds the scores and little else.

Embeddings (N, E) are float32 unit rows, as `normalise` returns them; scores are float32 in [-1, 1].
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import DataError

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.intp]
ScoreBlock = tuple[FloatArray, NDArray[np.bool_]]  # scores, is_target, each (M,)

BLOCK_SCORES = 2**22  # scores of one block: 16 MB, and about as much again for its pairs
BLOCK_TRIALS = 2**8  # trials whose two embeddings are gathered at once: 400 kB at E = 192 stay in the cache


class PairScores(NamedTuple):
    """Scores of all pairs by kind, each in the order of `pair_indices`."""

    target: FloatArray
    nontarget: FloatArray

    def trials(self) -> tuple[FloatArray, NDArray[np.bool_]]:
        """scores, is_target, each (M,), as `speaker_id.metrics` takes them: targets first."""
        scores = np.concatenate(self)
        return scores, np.arange(scores.size) < self.target.size


def normalise(embeddings: ArrayLike) -> FloatArray:
    """(N, E) -> (N, E) float32 unit rows. Raises `DataError` for a row that is zero or not finite."""
    rows = np.asarray(embeddings)
    if rows.ndim != 2:
        raise DataError(f"embeddings must be a table of one row per recording, got shape {rows.shape}")
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)  # squares of float32 values would overflow from 1e19 on
    if (bad := np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))).size:
        what = "all zeros" if norms[bad[0]] == 0 else "not finite"
        raise DataError(f"embedding {bad[0]} (counted from 0; {bad.size} of {norms.size} like it) is {what}")
    unit_rows: FloatArray = (rows / norms[:, None]).astype(np.float32)
    return unit_rows


def cosine(a: FloatArray, b: FloatArray) -> FloatArray:
    """Each unit row of `a` against each unit row of `b`: (A, E), (B, E) -> (A, B)."""
    scores: FloatArray = a @ b.T
    np.clip(scores, -1, 1, out=scores)
    return scores


def score_trials(embeddings: FloatArray, enrol_index: ArrayLike, test_index: ArrayLike) -> FloatArray:
    """Score trial by trial: unit rows (N, E) and two row numbers per trial (M,), (M,) -> (M,).

    Raises `DataError` when the indices differ in number or name a row that does not exist.
    """
    enrol, test = _indices(enrol_index, len(embeddings)), _indices(test_index, len(embeddings))
    if enrol.shape != test.shape:
        raise DataError(f"there are {enrol.size} enrolment and {test.size} test recordings: a trial needs one of each")
    scores = np.empty(enrol.size, np.float32)
    both = np.empty((2, min(BLOCK_TRIALS, enrol.size), embeddings.shape[1]), embeddings.dtype)
    for start in range(0, enrol.size, BLOCK_TRIALS):
        block = slice(start, min(start + BLOCK_TRIALS, enrol.size))
        gathered = both[:, : block.stop - start]
        for index, rows in zip((enrol, test), gathered, strict=True):
            np.take(embeddings, index[block], axis=0, out=rows, mode="clip")  # "raise" would copy; all rows exist
        scores[block] = np.vecdot(*gathered)
    np.clip(scores, -1, 1, out=scores)
    return scores


def all_pairs(embeddings: FloatArray, labels: ArrayLike) -> PairScores:
    """Score every unordered pair i < j once, never a recording with itself; equal labels (N,) make a target pair.

    Takes 4 bytes per pair; `all_pairs_histogram` takes none.
    """
    counts = speaker_numbers(labels, len(embeddings)).counts
    num_pairs, num_targets = (int(np.sum(n * (n - 1) // 2)) for n in (np.int64(len(embeddings)), counts))
    pairs = PairScores(np.empty(num_targets, np.float32), np.empty(num_pairs - num_targets, np.float32))
    filled = [0, 0]
    for scores, is_target in pair_blocks(lambda enrol, test: cosine(embeddings[enrol], embeddings[test]), labels):
        for kind, mask in enumerate((is_target, ~is_target)):
            chosen = scores[mask]
            pairs[kind][filled[kind] : filled[kind] + chosen.size] = chosen
            filled[kind] += chosen.size
    return pairs


def pair_blocks(matrix: Callable[[slice, slice], FloatArray], labels: ArrayLike) -> Iterator[ScoreBlock]:
    """All pairs i < j in the order of `pair_indices`, some millions at a time; labels (N,).

    `matrix` scores rows (A,) as enrolments against rows (B,) as tests: (A, B). A back end's `Prepared.matrix` will do.
    """
    speakers = speaker_numbers(labels, len(np.asarray(labels))).numbers
    num = speakers.size
    step = max(1, BLOCK_SCORES // max(1, num))
    for start in range(0, num, step):
        stop = min(start + step, num)
        block = matrix(slice(start, stop), slice(start, num))
        ends = np.cumsum(num - 1 - np.arange(start, stop))
        scores, is_target = np.empty(ends[-1], np.float32), np.empty(ends[-1], np.bool_)
        for row, end in zip(range(start, stop), ends, strict=True):  # copies of whole rows are faster than a mask
            pairs = slice(end - (num - 1 - row), end)
            scores[pairs] = block[row - start, row - start + 1 :]
            np.equal(speakers[row + 1 :], speakers[row], out=is_target[pairs])
        yield scores, is_target


def pair_indices(num: int) -> tuple[IndexArray, IndexArray]:
    """Row numbers i, j of all pairs i < j, each (num (num - 1) / 2,), in the order 01, 02, ... 12, 13, ..."""
    first = np.repeat(np.arange(num), np.arange(num)[::-1])
    starts = np.cumsum(np.arange(num)[::-1]) - np.arange(num)[::-1]
    return first, np.arange(first.size) - starts[first] + first + 1


def _indices(index: ArrayLike, num: int) -> IndexArray:
    rows: NDArray[Any] = np.asarray(index)
    if rows.size == 0:
        return np.empty(0, np.intp)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(f"trials need a list of row numbers, got shape {rows.shape} of {rows.dtype}")
    if rows.min() < 0 or rows.max() >= num:
        raise DataError(f"trials name rows {rows.min()} to {rows.max()}, but the embeddings are rows 0 to {num - 1}")
    return rows.astype(np.intp, copy=False)


class SpeakerNumbers(NamedTuple):
    numbers: IndexArray  # (N,) from 0, in the sorted order of the labels
    counts: NDArray[np.int64]  # (K,) recordings of each speaker


def speaker_numbers(labels: ArrayLike, num: int) -> SpeakerNumbers:
    """Numbers for the labels of `num` recordings; raises `DataError` when there are not as many."""
    names = np.asarray(labels)
    if names.shape != (num,):
        raise DataError(f"{num} embeddings need {num} speaker labels, got shape {names.shape}")
    _, numbers, counts = np.unique(names, return_inverse=True, return_counts=True)
    return SpeakerNumbers(numbers, counts.astype(np.int64))
