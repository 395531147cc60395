"""The equal error rate: where as many nontargets are accepted as targets are refused."""

from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.metrics.trials import SortedTrials, sorted_trials


class Eer(NamedTuple):
    """Equal error rate, and the score at which |fpr - fnr| is smallest (always finite)."""

    eer: float
    threshold: float


def eer(scores: ArrayLike, is_target: ArrayLike) -> Eer:
    """Where fpr and fnr cross, on the straight line between the two neighbouring operating points."""
    return eer_of(sorted_trials(scores, is_target))


def rocch_eer(scores: ArrayLike, is_target: ArrayLike) -> float:
    """EER of the ROC convex hull: never above `eer`; reached by mixing two thresholds, so it has none of its own.

    Brümmer & de Villiers, "The BOSARIS Toolkit", 2013 (arXiv:1304.2865). Only the one edge of the hull that crosses
    fpr = fnr is looked for. Counts stay integers, so "below the line" is decided exactly.
    """
    trials = sorted_trials(scores, is_target)
    false_accepts, misses = trials.counts_of(trials.corner_positions)
    beyond = misses * trials.nontarget.size >= false_accepts * trials.target.size
    if beyond[0]:
        return 0.0  # nothing is missed at the lowest target score, and now nothing is wrongly accepted either
    before, after = 0, misses.size - 1
    while True:
        fa_step, miss_step = false_accepts[before] - false_accepts[after], misses[after] - misses[before]
        cost = fa_step * misses + miss_step * false_accepts
        lowest = int(np.argmin(cost))
        if cost[lowest] == cost[before]:
            break
        before, after = (before, lowest) if beyond[lowest] else (lowest, after)
    fpr, fnr = trials.rates(trials.corners[[before, after]])
    return crossing(fpr[0], fnr[0], fpr[1], fnr[1])


def eer_of(trials: SortedTrials) -> Eer:
    def crossed(threshold: Any) -> bool:
        fpr, fnr = trials.rates(threshold)
        return bool(fnr >= fpr)  # fnr - fpr never falls as scores rise, so the crossing can be found by bisection

    firsts = [(kind, bisect_left(kind, True, key=crossed)) for kind in trials]
    after = min((kind[i] for kind, i in firsts if i < kind.size), default=trials.target.dtype.type(np.inf))
    lasts = [(kind, int(np.searchsorted(kind, after))) for kind in trials]
    before = max(kind[i - 1] for kind, i in lasts if i > 0)
    (fpr_0, fnr_0), (fpr_1, fnr_1) = trials.rates(before), trials.rates(after)
    # A draw goes to the lower one: only then is the threshold finite when all scores are equal.
    threshold = before if fpr_0 - fnr_0 <= fnr_1 - fpr_1 else after
    return Eer(crossing(fpr_0, fnr_0, fpr_1, fnr_1), float(threshold))


def crossing(fpr_0: float, fnr_0: float, fpr_1: float, fnr_1: float) -> float:
    """Where the line from a point with fnr < fpr to one with fnr >= fpr meets fpr = fnr."""
    gap_0, gap_1 = fpr_0 - fnr_0, fnr_1 - fpr_1
    return float((fnr_0 * gap_1 + fnr_1 * gap_0) / (gap_0 + gap_1))
