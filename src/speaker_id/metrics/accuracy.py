"""Figures that older toolkits print, under names that say what they are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.metrics.trials import Positions, SortedTrials, just_above, reachable, sorted_trials

# `score > 0.00`, `> 0.01`, ..., `> 0.99`, as thresholds of `score >= threshold`
TOTAL_ERROR_GRID = np.nextafter(np.arange(100) / 100, np.inf)


class BestAccuracy(NamedTuple):
    """Highest share of right decisions, and its threshold (always finite)."""

    accuracy: float
    threshold: float


class MinTotalError(NamedTuple):
    """Lowest fpr + fnr of the grid, and the grid's threshold, above which a score is accepted."""

    total_error: float
    threshold: float


def accuracy_threshold(scores: ArrayLike, is_target: ArrayLike) -> BestAccuracy:
    """The threshold that decides most trials rightly, of all thresholds: the lowest cost when every error costs one.

    Where nontargets are far more numerous this hardly looks at targets: in all pairs of a list, refusing everybody is
    right nearly always. The threshold then lies just above the highest score.
    """
    return best_accuracy_of(sorted_trials(scores, is_target))


def min_total_error(scores: ArrayLike, is_target: ArrayLike) -> MinTotalError:
    """What ppvector prints as "eer": the lowest fpr + fnr of `score > t` over t = 0.00, 0.01, ..., 0.99.

    Near twice the true EER for cosine scores; for other scales it may be anything, up to 1. The lowest t wins a draw.
    """
    trials = sorted_trials(scores, is_target)
    return min_total_error_of(trials, total_error_positions(trials))


def best_accuracy_of(trials: SortedTrials) -> BestAccuracy:
    """Of weighted trials at the share of targets that they have unweighted: a draw holds relatively more targets."""
    num_targets, num_nontargets = trials.target.size, trials.nontarget.size
    false_accepts, misses = trials.counts_of(trials.corner_positions)
    errors = false_accepts * (num_nontargets / trials.num_nontargets) + misses * (num_targets / trials.num_targets)
    best = int(np.argmin(errors))
    refuses_all = best == trials.corners.size - 1
    highest = max(trials.target[-1], trials.nontarget[-1])
    threshold = just_above(highest) if refuses_all else float(trials.corners[best])
    return BestAccuracy(float(1 - errors[best] / (num_targets + num_nontargets)), threshold)


def total_error_positions(trials: SortedTrials) -> Positions:
    return trials.positions(reachable(TOTAL_ERROR_GRID, trials.target.dtype))


def min_total_error_of(trials: SortedTrials, positions: Positions) -> MinTotalError:
    fpr, fnr = trials.rates_of(positions)
    lowest = int(np.argmin(fpr + fnr))
    return MinTotalError(float((fpr + fnr)[lowest]), lowest / 100)
