"""The numbers behind the charts of all trials: few enough to draw, whatever the number of trials."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import ndtr, ndtri

from speaker_id.contracts import OperatingPoint
from speaker_id.metrics import LlrMap
from speaker_id.metrics.cost import dcf_weights, lowest_cost
from speaker_id.metrics.equal_error import eer_of
from speaker_id.metrics.rates import rates_within
from speaker_id.metrics.trials import Array, Scores, SortedTrials

NUM_POINTS = 250  # thresholds of each kind that a curve is drawn from
MAX_BINS = 80
PRODUCT = "the product's threshold"
LIMITS = {"at most 1 % of strangers": 0.01, "at most 0.1 % of strangers": 0.001}


class Sweep(NamedTuple):
    """Rates of `score >= threshold`, thresholds rising, each (P,)."""

    thresholds: Array
    fpr: Array
    fnr: Array


class Mark(NamedTuple):
    """One threshold that somebody might choose."""

    name: str
    threshold: float
    fpr: float
    fnr: float


class Histogram(NamedTuple):
    """Shares of each kind's trials between neighbouring edges (H + 1,); each kind adds up to 1."""

    edges: Array
    target: Array  # (H,)
    nontarget: Array  # (H,)


class Reliability(NamedTuple):
    """What scores turned out to be worth: pools (Q,) of neighbouring scores with one log-likelihood ratio each.

    Pool adjacent violators (Ayer et al., 1955); natural logarithms. Pools with trials of one kind only, at both ends,
    have no finite ratio and are left out.
    """

    low: Array  # lowest score of the pool
    high: Array  # lowest score of the next
    observed: Array  # log of the share of targets over the share of nontargets that fell in here
    stated: Array | None  # what the calibration says in the pool's middle; None where there is none


def sweep(trials: SortedTrials) -> Sweep:
    """Thresholds at both kinds' quantiles."""
    thresholds = np.unique(np.concatenate([spread(kind, NUM_POINTS) for kind in trials]))
    return Sweep(thresholds.astype(np.float64), *trials.rates(thresholds))


def spread(scores: Scores, most: int) -> Scores:
    """At most so many of rising scores (M,), spaced evenly in probit, so that both tails are drawn finely."""
    if scores.size <= most:
        return scores
    ranks = ndtr(np.linspace(ndtri(0.5 / scores.size), -ndtri(0.5 / scores.size), most)) * scores.size
    chosen: Scores = scores[np.unique(ranks.astype(np.intp))]
    return chosen


def marks(trials: SortedTrials, point: OperatingPoint | None) -> tuple[Mark, ...]:
    """Thresholds worth knowing; one that accepts nobody is left out."""
    named = {"equal error rate": eer_of(trials).threshold}
    if point is not None:
        named[PRODUCT] = point.threshold
    named["lowest cost, 1 target in 100"] = lowest_cost(trials, dcf_weights(0.01)).threshold
    for name, limit in LIMITS.items():
        if limit * trials.nontarget.size >= 1:  # fewer trials say nothing about so rare an error
            named[name] = rates_within(trials, limit).threshold
    rates = {name: trials.rates_at(threshold) for name, threshold in named.items()}
    return tuple(
        Mark(name, float(named[name]), float(fpr), float(fnr))
        for name, (fpr, fnr) in rates.items()
        if np.isfinite(named[name])
    )


def histogram(trials: SortedTrials) -> Histogram:
    low, high = min(kind[0] for kind in trials), max(kind[-1] for kind in trials)
    num_bins = int(np.clip(2 * np.sqrt(min(kind.size for kind in trials)), 20, MAX_BINS))
    edges = np.linspace(float(low), float(high) if high > low else float(low) + 1, num_bins + 1)
    inner = edges[1:-1].astype(trials.target.dtype)  # equal dtypes: another would copy the scores
    shares = [np.diff(np.searchsorted(kind, inner), prepend=0, append=kind.size) / kind.size for kind in trials]
    return Histogram(edges, *shares)


def reliability(trials: SortedTrials, llr: LlrMap | None) -> Reliability:
    edges = sweep(trials).thresholds.astype(trials.target.dtype)
    starts = [np.searchsorted(kind, edges) for kind in trials]
    target, nontarget = (np.diff(at, append=kind.size) / kind.size for at, kind in zip(starts, trials, strict=True))
    some = target + nontarget > 0
    first, target, nontarget = np.flatnonzero(some), target[some], nontarget[some]
    pools = isotonic_regression(target / (target + nontarget), weights=target + nontarget).blocks[:-1]
    target, nontarget = np.add.reduceat(target, pools), np.add.reduceat(nontarget, pools)
    low = edges[first[pools]].astype(np.float64)
    high = np.append(low[1:], max(kind[-1] for kind in trials))
    both = (target > 0) & (nontarget > 0)
    observed = np.log(target[both] / nontarget[both])
    return Reliability(low[both], high[both], observed, None if llr is None else llr((low + high)[both] / 2))


def thinned(values: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """At most so many of the values (M,), drawn without replacement, in their order."""
    return values if values.size <= most else np.sort(rng.choice(values, most, replace=False, shuffle=False))
