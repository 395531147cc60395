"""Error rates of scores that were counted in bins instead of kept, each with a bound of what the bins can hide.

Every function takes how many target and nontarget scores lie in each bin, (K,) and (K,), and the bins' edges (K + 1,):
edges[k] <= score < edges[k + 1]; the last bin includes its upper edge. `speaker_id.scoring` counts them so, as do two
calls of `numpy.histogram`. Thresholds are edges, at which the rates are those of the scores themselves: exact. Between
two edges a rate only falls or rises, which bounds every error: |measure of the scores - ours| <= `max_error`.

32,768 bins over cosines bound the EER's error by 1e-4 where neither kind's scores are denser than 3 per unit of cosine
around the threshold (two normal kinds of deviation 0.1 reach that at an EER of 23 %); else `max_error` says more.

Raises `DataError` for counts of one kind only or edges that do not rise, `ConfigError` for options without sense.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics.cost import dcf_weights
from speaker_id.metrics.equal_error import crossing
from speaker_id.metrics.summary import VerificationMetrics
from speaker_id.metrics.trials import KINDS, Array


class BinnedEer(NamedTuple):
    """Equal error rate, and the edge at which |fpr - fnr| is smallest."""

    eer: float
    threshold: float
    max_error: float


class BinnedMinDcf(NamedTuple):
    """Lowest normalised detection cost of any edge: the scores' own is lower by at most `max_error`."""

    min_dcf: float
    threshold: float
    max_error: float


class BinnedRates(NamedTuple):
    """A threshold and the exact rates there; the scores' own tpr within the limit is higher by at most `max_error`."""

    tpr: float
    fpr: float
    threshold: float
    max_error: float


@dataclass(frozen=True)
class BinnedMetrics(VerificationMetrics):
    """The same numbers from counts, and how far from those of the scores they can be; tpr and fpr are exact."""

    eer_max_error: float
    min_dcf_max_error: float
    min_dcf_05_max_error: float


class EdgeRates(NamedTuple):
    """Operating points of `score >= threshold` from accept-all to accept-none, each (K + 1,)."""

    thresholds: Array
    fpr: Array
    fnr: Array


def binned_error_rates(target: ArrayLike, nontarget: ArrayLike, edges: ArrayLike) -> EdgeRates:
    """The exact rates at each edge. The last threshold lies just above the last edge: nobody is accepted."""
    counts, thresholds = _checked(target, nontarget, edges)
    below = np.zeros((2, thresholds.size), np.int64)
    np.cumsum(counts, axis=1, out=below[:, 1:])
    (rejects, misses), (num_nontargets, num_targets) = below, below[:, -1]
    return EdgeRates(thresholds, (num_nontargets - rejects) / num_nontargets, misses / num_targets)


def binned_eer(target: ArrayLike, nontarget: ArrayLike, edges: ArrayLike) -> BinnedEer:
    """Where fpr and fnr cross, on the straight line between the two edges around it."""
    return _eer(binned_error_rates(target, nontarget, edges))


def binned_min_dcf(
    target: ArrayLike,
    nontarget: ArrayLike,
    edges: ArrayLike,
    *,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
) -> BinnedMinDcf:
    """Lowest p c_miss fnr + (1-p) c_fa fpr over all edges, normalised as `min_dcf` is."""
    return _min_dcf(binned_error_rates(target, nontarget, edges), p_target, c_miss, c_fa)


def binned_at_fpr(target: ArrayLike, nontarget: ArrayLike, edges: ArrayLike, fpr: float) -> BinnedRates:
    """The lowest edge that may be a threshold when at most a share `fpr` of the nontargets is to be accepted."""
    if not 0 <= fpr <= 1:
        raise ConfigError(f"fpr must lie in 0...1, got {fpr}")
    rates = binned_error_rates(target, nontarget, edges)
    first = int(np.argmax(rates.fpr <= fpr))
    tpr = 1 - rates.fnr[first]
    hidden = 0.0 if first == 0 else rates.fnr[first] - rates.fnr[first - 1]
    return BinnedRates(float(tpr), float(rates.fpr[first]), float(rates.thresholds[first]), float(hidden))


def binned_metrics(target: ArrayLike, nontarget: ArrayLike, edges: ArrayLike) -> BinnedMetrics:
    """The few numbers that are watched during training: `verification_metrics` of any number of trials."""
    rates = binned_error_rates(target, nontarget, edges)
    equal, (rare, common) = _eer(rates), (_min_dcf(rates, p_target, 1.0, 1.0) for p_target in (0.01, 0.05))
    at = int(np.searchsorted(rates.thresholds, equal.threshold))
    return BinnedMetrics(
        eer=equal.eer,
        threshold=equal.threshold,
        tpr=float(1 - rates.fnr[at]),
        fpr=float(rates.fpr[at]),
        min_dcf=rare.min_dcf,
        min_dcf_05=common.min_dcf,
        num_targets=int(np.sum(target)),
        num_nontargets=int(np.sum(nontarget)),
        eer_max_error=equal.max_error,
        min_dcf_max_error=rare.max_error,
        min_dcf_05_max_error=common.max_error,
    )


def _eer(rates: EdgeRates) -> BinnedEer:
    thresholds, fpr, fnr = rates
    after = int(np.argmax(fnr >= fpr))  # never 0, where fnr = 0 and fpr = 1
    edges = slice(after - 1, after + 1)
    (fpr_0, fpr_1), (fnr_0, fnr_1) = fpr[edges], fnr[edges]
    eer = crossing(fpr_0, fnr_0, fpr_1, fnr_1)
    # The scores' own points between these edges lie in the rectangle that they span, and so does any line between them.
    low, high = max(fnr_0, fpr_1), min(fpr_0, fnr_1)
    nearest = after - 1 if fpr_0 - fnr_0 <= fnr_1 - fpr_1 else after
    return BinnedEer(eer, float(thresholds[nearest]), float(max(eer - low, high - eer, 0.0)))


def _min_dcf(rates: EdgeRates, p_target: float, c_miss: float, c_fa: float) -> BinnedMinDcf:
    miss, false_accept = dcf_weights(p_target, c_miss, c_fa)
    costs = miss * rates.fnr + false_accept * rates.fpr
    lowest = int(np.argmin(costs))
    # Between two edges nothing is missed less than at the lower one, nor accepted less than at the upper one.
    bound = float(np.min(miss * rates.fnr[:-1] + false_accept * rates.fpr[1:]))
    cost = float(costs[lowest])
    return BinnedMinDcf(cost, float(rates.thresholds[lowest]), max(cost - bound, 0.0))


def _checked(target: ArrayLike, nontarget: ArrayLike, edges: ArrayLike) -> tuple[Any, Array]:
    """nontarget and target counts (2, K), and the thresholds (K + 1,)."""
    counts, bounds = [np.asarray(nontarget), np.asarray(target)], np.array(edges, np.float64)
    if counts[0].ndim != 1 or counts[0].shape != counts[1].shape or bounds.shape != (counts[0].size + 1,):
        shapes = f"{counts[1].shape}, {counts[0].shape} and {bounds.shape}"
        raise DataError(f"K bins need K counts of each kind and K + 1 edges, got shapes {shapes}")
    if not (np.isfinite(bounds).all() and (np.diff(bounds) > 0).all()):
        raise DataError("the edges of the bins must be finite and rise")
    if any(kind.dtype.kind not in "iu" or (kind < 0).any() for kind in counts):
        raise DataError("counts of scores must be whole numbers, none of them negative")
    for kind, other in ((0, 1), (1, 0)):
        if not counts[kind].any():
            raise DataError(
                f"all {counts[other].sum()} trials are {KINDS[other]} trials: error rates need both kinds"
                if counts[other].any()
                else "there are no trials to evaluate"
            )
    bounds[-1] = np.nextafter(bounds[-1], np.inf)
    return np.stack(counts), bounds
