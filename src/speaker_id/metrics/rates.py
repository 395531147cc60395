"""Error rates at thresholds: all of them, a given one, and the one that keeps false accepts rare."""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import ConfigError
from speaker_id.metrics.trials import Array, Positions, Scores, SortedTrials, checked, just_above, sorted_trials


class Rates(NamedTuple):
    """Error rates at one threshold, in 0...1; `tpr` is `1 - fnr`."""

    tpr: float
    fpr: float
    fnr: float


class OperatingRates(NamedTuple):
    """A threshold (always finite), and the rates of `score >= threshold`."""

    tpr: float
    fpr: float
    threshold: float


def error_rates(scores: ArrayLike, is_target: ArrayLike) -> tuple[Scores, Array, Array]:
    """Operating points of `score >= threshold`, from accept-all to accept-none.

    Returns thresholds, fpr, fnr, each (M',): one point per distinct score, in rising order, and a last one at +inf.
    """
    trials = sorted_trials(scores, is_target)
    distinct = np.unique(np.concatenate([*trials]))
    thresholds = np.append(distinct, distinct.dtype.type(np.inf))
    return thresholds, *trials.rates(thresholds)


def rates_at(scores: ArrayLike, is_target: ArrayLike, threshold: float) -> Rates:
    """tpr, fpr and fnr of `score >= threshold`."""
    check_threshold(threshold)
    values, flags = checked(scores, is_target)
    accepted = values >= np.float64(threshold)  # as a Python float it would be rounded to the scores' float32
    tpr, fpr = (float(np.count_nonzero(accepted[kind]) / np.count_nonzero(kind)) for kind in (flags, ~flags))
    return Rates(tpr, fpr, 1 - tpr)


def tpr_at_fpr(scores: ArrayLike, is_target: ArrayLike, fpr: float) -> float:
    """Highest tpr of a real threshold whose false-accept rate is at most `fpr`; nothing is interpolated."""
    return at_fpr(scores, is_target, fpr).tpr


def at_fpr(scores: ArrayLike, is_target: ArrayLike, fpr: float) -> OperatingRates:
    """The lowest score that may be a threshold when at most a share `fpr` of the nontargets is to be accepted.

    Where even the highest score belongs to one nontarget too many, the threshold lies just above it: nobody is
    accepted. The `fpr` returned is what the threshold really lets through.
    """
    return rates_within(sorted_trials(scores, is_target), fpr)


def rates_within(trials: SortedTrials, limit: float) -> OperatingRates:
    if not 0 <= limit <= 1:
        raise ConfigError(f"fpr must lie in 0...1, got {limit}")

    def within(rejects: int) -> bool:
        return bool(trials.rates_of(Positions(0, rejects))[0] <= limit)

    rejects = bisect_left(range(trials.nontarget.size), True, key=within)
    if rejects == 0:
        return OperatingRates(1.0, 1.0, float(min(trials.target[0], trials.nontarget[0])))
    refused = trials.nontarget[rejects - 1]
    above = Positions(*(int(np.searchsorted(kind, refused, side="right")) for kind in trials))
    fpr, fnr = trials.rates_of(above)
    accepted = [*trials.target[above.target :][:1], *trials.nontarget[above.nontarget :][:1]]
    return OperatingRates(float(1 - fnr), float(fpr), float(min(accepted)) if accepted else just_above(refused))


def check_threshold(threshold: float) -> None:
    if np.isnan(threshold):
        raise ConfigError("the threshold is not a number (nan)")
