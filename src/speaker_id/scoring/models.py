"""Enrolment from several recordings: a model is a group of rows, scored as one embedding or by each of its rows."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import DataError
from speaker_id.scoring.pairs import FloatArray, IndexArray, normalise

BLOCK_TRIALS = 2**20  # trials of a recording against a recording at once, when models are scored by each of theirs


def model_means(embeddings: FloatArray, groups: Sequence[Sequence[int]]) -> FloatArray:
    """Unit rows (N, E) and row numbers per model -> the mean of each model's rows, made a unit row: (G, E).

    Raises `DataError` for a model without recordings, or whose rows cancel out.
    """
    rows, counts = _flattened(groups, len(embeddings))
    if not counts.size:
        return np.empty((0, embeddings.shape[1]), np.float32)
    sums = np.add.reduceat(embeddings[rows], _starts(counts), axis=0, dtype=np.float64)
    return normalise(sums)


def score_models(
    score: Callable[[IndexArray, IndexArray], FloatArray],
    groups: Sequence[Sequence[int]],
    model_index: ArrayLike,
    test_index: ArrayLike,
    *,
    num: int,
) -> FloatArray:
    """The mean of each trial's scores: model (M,) by group, each of its rows as an enrolment, test row (M,) -> (M,).

    `score` takes rows of `num` recordings, as `Prepared.score` does. Raises `DataError` for models that do not exist.
    """
    rows, counts = _flattened(groups, num)
    models, tests = np.asarray(model_index, np.intp), np.asarray(test_index, np.intp)
    if models.shape != tests.shape:
        raise DataError(f"there are {models.size} models and {tests.size} test recordings: a trial needs one of each")
    if models.size and not 0 <= models.min() <= models.max() < counts.size:
        raise DataError(f"trials name models {models.min()} to {models.max()}, but there are {counts.size}, from 0 on")
    means = np.empty(models.size, np.float32)
    step = max(1, BLOCK_TRIALS // int(counts.max(initial=1)))
    for start in range(0, models.size, step):
        block = slice(start, start + step)
        sizes = counts[models[block]]
        within = np.arange(sizes.sum()) - np.repeat(_starts(sizes), sizes)
        enrol = rows[np.repeat(_starts(counts)[models[block]], sizes) + within]
        scores = score(enrol, np.repeat(tests[block], sizes))
        means[block] = np.add.reduceat(scores, _starts(sizes), dtype=np.float64) / sizes
    return means


def _flattened(groups: Sequence[Sequence[int]], num: int) -> tuple[IndexArray, IndexArray]:
    """All models' rows one after the other, and how many each model has."""
    counts = np.array([len(group) for group in groups], np.intp)
    if (empty := np.flatnonzero(counts == 0)).size:
        raise DataError(f"model {empty[0]} (counted from 0) has no recording to enrol")
    rows = np.array([row for group in groups for row in group], np.intp)
    if rows.size and not 0 <= rows.min() <= rows.max() < num:
        raise DataError(f"models name rows {rows.min()} to {rows.max()}, but the recordings are rows 0 to {num - 1}")
    return rows, counts


def _starts(counts: IndexArray) -> IndexArray:
    return np.cumsum(counts) - counts
