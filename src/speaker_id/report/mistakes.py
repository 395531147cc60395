"""The trials to listen to: the hardest of each kind, and recordings that their own speaker's others do not match."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.report.evaluation import Evaluation, Recordings, Trials

NUM_WORST = 20
NUM_OUTLIERS = 10
MIN_TRIALS = 4  # target trials of a recording that might be an outlier


class Mistake(NamedTuple):
    """One trial; names as the list has them."""

    enrol: str
    test: str
    enrol_speaker: str  # "" where nobody says who speaks
    test_speaker: str
    score: float
    wrong: bool  # at the threshold
    enrol_row: int  # of the recordings
    test_row: int


class Outlier(NamedTuple):
    """A recording that misses at least half of its target trials: a wrong label, or bad sound."""

    name: str
    speaker: str
    num_misses: int
    num_targets: int
    row: int


class Mistakes(NamedTuple):
    targets: tuple[Mistake, ...]  # lowest score first
    nontargets: tuple[Mistake, ...]  # highest score first
    outliers: tuple[Outlier, ...]  # most misses first


def mistakes(evaluation: Evaluation, threshold: float) -> Mistakes:
    trials, recordings = evaluation.trials, evaluation.recordings
    lowest = worst(trials.scores, trials.is_target)
    highest = worst(-trials.scores, ~trials.is_target)
    return Mistakes(
        tuple(_mistake(recordings, trials, int(row), threshold) for row in lowest),
        tuple(_mistake(recordings, trials, int(row), threshold) for row in highest),
        outliers(evaluation, threshold),
    )


def worst(scores: NDArray[np.floating], among: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the lowest `NUM_WORST` scores among those flagged; equal scores in their order."""
    rows = np.flatnonzero(among)
    num = min(NUM_WORST, rows.size)
    limit = np.partition(scores[rows], num - 1)[num - 1]
    candidates = rows[scores[rows] <= limit]
    lowest: NDArray[np.intp] = candidates[np.argsort(scores[candidates], kind="stable")][:num]
    return lowest


def outliers(evaluation: Evaluation, threshold: float) -> tuple[Outlier, ...]:
    trials, recordings = evaluation.trials, evaluation.recordings
    targets = np.flatnonzero(trials.is_target)
    missed = targets[trials.scores[targets] < np.float64(threshold)]
    total, misses = (
        np.bincount(np.concatenate([trials.enrol[rows], trials.test[rows]]), minlength=len(recordings.names))
        for rows in (targets, missed)
    )
    rows = np.flatnonzero((total >= MIN_TRIALS) & (2 * misses >= total))
    rows = rows[np.lexsort((rows, -misses[rows] / total[rows]))][:NUM_OUTLIERS]
    return tuple(
        Outlier(recordings.names[row], recordings.speakers[row], int(misses[row]), int(total[row]), int(row))
        for row in rows
    )


def _mistake(recordings: Recordings, trials: Trials, row: int, threshold: float) -> Mistake:
    enrol, test = int(trials.enrol[row]), int(trials.test[row])
    score = float(trials.scores[row])
    return Mistake(
        recordings.names[enrol], recordings.names[test], recordings.speakers[enrol], recordings.speakers[test],
        score, (score >= threshold) != bool(trials.is_target[row]), enrol, test,
    )  # fmt: skip
