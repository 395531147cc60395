"""How well scores separate target from nontarget trials. Accept means `score >= threshold`.

Every function takes `scores` (M,) and `is_target` (M,) and raises `DataError` when they are empty, of different
lengths, not finite, or of one kind only; options that make no sense raise `ConfigError`. Equal scores share one
operating point, so the order of the trials never matters. float32 scores stay float32: they sort fastest.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import ConfigError, DataError

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

KINDS = ("nontarget", "target")
MAX_EXACT_TRIALS = 2**18  # up to here `eer_interval` takes every distinct score as a threshold, beyond only
NUM_LEVELS = 20_000  # so many


class Rates(NamedTuple):
    """Error rates at one threshold, in 0...1; `tpr` is `1 - fnr`."""

    tpr: float
    fpr: float
    fnr: float


class Eer(NamedTuple):
    """Equal error rate, and the score at which |fpr - fnr| is smallest (always finite)."""

    eer: float
    threshold: float


class MinDcf(NamedTuple):
    """Lowest normalised detection cost, and the score where it is reached (+inf: accept nobody)."""

    min_dcf: float
    threshold: float


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class VerificationMetrics:
    """The numbers of one evaluation. `tpr` and `fpr` hold at `threshold`, the EER threshold."""

    eer: float
    threshold: float
    tpr: float
    fpr: float
    min_dcf: float  # p_target = 0.01, unit costs
    min_dcf_05: float  # p_target = 0.05, unit costs
    num_targets: int
    num_nontargets: int

    @property
    def num_trials(self) -> int:
        return self.num_targets + self.num_nontargets


class _Trials(NamedTuple):
    """Scores of each kind in rising order, one dtype."""

    target: Scores
    nontarget: Scores

    def counts(self, thresholds: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """False accepts and misses, at thresholds of the scores' own dtype (another would copy both arrays)."""
        misses = np.searchsorted(self.target, thresholds)
        return self.nontarget.size - np.searchsorted(self.nontarget, thresholds), misses

    def rates(self, thresholds: Any) -> tuple[Any, Any]:
        """fpr, fnr."""
        false_accepts, misses = self.counts(thresholds)
        return false_accepts / self.nontarget.size, misses / self.target.size

    def corners(self) -> Scores:
        """Every target score and +inf: all the thresholds that the minimum of a cost can need.

        From any threshold, go up to the next target score (+inf if there is none): no target lies between, so no
        miss is added, and false accepts can only fall. Any cost rising in both is therefore lowest at a corner.
        """
        return np.append(self.target, self.target.dtype.type(np.inf))


def error_rates(scores: ArrayLike, is_target: ArrayLike) -> tuple[Scores, Array, Array]:
    """Operating points of `score >= threshold`, from accept-all to accept-none.

    Returns thresholds, fpr, fnr, each (M',): one point per distinct score, in rising order, and a last one at +inf.
    """
    trials = _sorted_trials(scores, is_target)
    distinct = np.unique(np.concatenate(trials))
    thresholds = np.append(distinct, distinct.dtype.type(np.inf))
    return thresholds, *trials.rates(thresholds)


def rates_at(scores: ArrayLike, is_target: ArrayLike, threshold: float) -> Rates:
    """tpr, fpr and fnr of `score >= threshold`."""
    if np.isnan(threshold):
        raise ConfigError("the threshold is not a number (nan)")
    values, flags = _checked(scores, is_target)
    accepted = values >= np.float64(threshold)  # as a Python float it would be rounded to the scores' float32
    tpr, fpr = (float(np.count_nonzero(accepted[kind]) / np.count_nonzero(kind)) for kind in (flags, ~flags))
    return Rates(tpr, fpr, 1 - tpr)


def tpr_at_fpr(scores: ArrayLike, is_target: ArrayLike, fpr: float) -> float:
    """Highest tpr of a real threshold whose false-accept rate is at most `fpr`; nothing is interpolated."""
    if not 0 <= fpr <= 1:
        raise ConfigError(f"fpr must lie in 0...1, got {fpr}")
    target, nontarget = _sorted_trials(scores, is_target)
    allowed = int(np.searchsorted(np.arange(1, nontarget.size + 1) / nontarget.size, fpr, side="right"))
    if allowed == nontarget.size:
        return 1.0
    highest_refused = nontarget[nontarget.size - 1 - allowed]
    return float(1 - np.searchsorted(target, highest_refused, side="right") / target.size)


def eer(scores: ArrayLike, is_target: ArrayLike) -> Eer:
    """Where fpr and fnr cross, on the straight line between the two neighbouring operating points."""
    return _eer(_sorted_trials(scores, is_target))


def rocch_eer(scores: ArrayLike, is_target: ArrayLike) -> float:
    """EER of the ROC convex hull: never above `eer`; reached by mixing two thresholds, so it has none of its own.

    Brümmer & de Villiers, "The BOSARIS Toolkit", 2013 (arXiv:1304.2865). Only the one edge of the hull that crosses
    fpr = fnr is looked for. Counts stay integers, so "below the line" is decided exactly.
    """
    trials = _sorted_trials(scores, is_target)
    false_accepts, misses = trials.counts(trials.corners())
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
    fpr, fnr = trials.rates(trials.corners()[[before, after]])
    return _crossing(fpr[0], fnr[0], fpr[1], fnr[1])


def min_dcf(
    scores: ArrayLike, is_target: ArrayLike, *, p_target: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0
) -> MinDcf:
    """Lowest p c_miss fnr + (1-p) c_fa fpr over all thresholds, over min(p c_miss, (1-p) c_fa): in 0...1.

    NIST speaker recognition evaluations; 1 is what refusing or accepting everybody costs.
    """
    return _min_dcf(_sorted_trials(scores, is_target), _dcf_weights(p_target, c_miss, c_fa))


def verification_metrics(scores: ArrayLike, is_target: ArrayLike) -> VerificationMetrics:
    """All numbers of one evaluation from a single sort."""
    trials = _sorted_trials(scores, is_target)
    result = _eer(trials)
    fpr, fnr = trials.rates(trials.target.dtype.type(result.threshold))
    return VerificationMetrics(
        eer=result.eer,
        threshold=result.threshold,
        tpr=float(1 - fnr),
        fpr=float(fpr),
        min_dcf=_min_dcf(trials, _dcf_weights(0.01)).min_dcf,
        min_dcf_05=_min_dcf(trials, _dcf_weights(0.05)).min_dcf,
        num_targets=trials.target.size,
        num_nontargets=trials.nontarget.size,
    )


def eer_interval(
    scores: ArrayLike,
    is_target: ArrayLike,
    enrol_speakers: ArrayLike,
    test_speakers: ArrayLike,
    *,
    rng: np.random.Generator,
    num_draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of the EER over speakers drawn with replacement; speaker ids (M,) are numbers or names.

    Trials that share a speaker stand or fall together, so drawing trials would give far too narrow an interval
    (Bolle, Ratha & Pankanti, "The subsets bootstrap", 2004). A speaker drawn m times counts as m different people
    with the same recordings: its target trials weigh m, the trials between a and b weigh m_a m_b, and copies never
    meet each other, as they would be nontarget trials of one voice. Draws without both kinds of trials are repeated.

    One draw takes 2 ms for 0.1 million trials, 0.13 s for 14 million. Above `MAX_EXACT_TRIALS` trials its operating
    points are `NUM_LEVELS` quantiles of the distinct scores. Labels that contradict the speakers are a `DataError`.
    """
    if num_draws < 1 or not 0 < level < 1:
        raise ConfigError(f"num_draws must be at least 1 and level in 0...1, got {num_draws} and {level}")
    values, flags = _checked(scores, is_target)
    enrol, test = np.asarray(enrol_speakers), np.asarray(test_speakers)
    if enrol.shape != values.shape or test.shape != values.shape:
        raise DataError(f"{values.size} trials need as many speakers, got {enrol.shape} enrolled and {test.shape} test")
    if (wrong := np.flatnonzero((enrol == test) != flags)).size:
        speakers = f"{enrol[wrong[0]]} and {test[wrong[0]]}"
        raise DataError(f"trial {wrong[0]} is labelled {KINDS[int(flags[wrong[0]])]}, but its speakers are {speakers}")
    draws = _bootstrap(values, flags, enrol, test, rng)
    low, high = np.quantile(list(islice(draws, num_draws)), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _bootstrap(
    scores: Scores, flags: Flags, enrol: NDArray[Any], test: NDArray[Any], rng: np.random.Generator
) -> Iterator[float]:
    levels = np.unique(scores)
    if scores.size > MAX_EXACT_TRIALS:
        levels = levels[np.linspace(0, levels.size - 1, min(levels.size, NUM_LEVELS)).astype(np.intp)]
    cells = np.searchsorted(levels, scores, side="right") - 1 + levels.size * flags  # nontarget levels, then target's
    speakers, indices = np.unique(np.concatenate([enrol, test]), return_inverse=True)
    enrol_index, test_index = indices.reshape(2, -1)
    test_index[flags] = speakers.size  # a factor of 1: target trials weigh m, not m * m
    while True:
        drawn = rng.integers(speakers.size, size=speakers.size)
        multiplicity = np.append(np.bincount(drawn, minlength=speakers.size), 1).astype(np.float64)
        weights = multiplicity[enrol_index] * multiplicity[test_index]
        nontarget, target = np.bincount(cells, weights, minlength=2 * levels.size).reshape(2, -1).cumsum(axis=1)
        if nontarget[-1] > 0 and target[-1] > 0:
            fpr, fnr = np.append(1, 1 - nontarget / nontarget[-1]), np.append(0, target / target[-1])
            after = int(np.argmax(fnr >= fpr))
            yield _crossing(fpr[after - 1], fnr[after - 1], fpr[after], fnr[after])


def _eer(trials: _Trials) -> Eer:
    def crossed(threshold: Any) -> bool:
        fpr, fnr = trials.rates(threshold)
        return bool(fnr >= fpr)  # fnr - fpr rises at every distinct score, so the crossing can be found by bisection

    firsts = [(kind, bisect_left(kind, True, key=crossed)) for kind in trials]
    after = min((kind[i] for kind, i in firsts if i < kind.size), default=trials.target.dtype.type(np.inf))
    lasts = [(kind, int(np.searchsorted(kind, after))) for kind in trials]
    before = max(kind[i - 1] for kind, i in lasts if i > 0)
    (fpr_0, fnr_0), (fpr_1, fnr_1) = trials.rates(before), trials.rates(after)
    # A draw goes to the lower one: only then is the threshold finite when all scores are equal.
    threshold = before if fpr_0 - fnr_0 <= fnr_1 - fpr_1 else after
    return Eer(_crossing(fpr_0, fnr_0, fpr_1, fnr_1), float(threshold))


def _crossing(fpr_0: float, fnr_0: float, fpr_1: float, fnr_1: float) -> float:
    """Where the line from a point with fnr < fpr to one with fnr >= fpr meets fpr = fnr."""
    gap_0, gap_1 = fpr_0 - fnr_0, fnr_1 - fpr_1
    return float((fnr_0 * gap_1 + fnr_1 * gap_0) / (gap_0 + gap_1))


def _dcf_weights(p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> tuple[float, float]:
    """What a miss rate and a false-accept rate of 1 cost; the cheaper of the two costs 1."""
    if not (0 < p_target < 1 and 0 < c_miss < np.inf and 0 < c_fa < np.inf):
        raise ConfigError(f"p_target must lie in 0...1 and costs be positive, got {p_target=}, {c_miss=}, {c_fa=}")
    miss, false_accept = p_target * c_miss, (1 - p_target) * c_fa
    return miss / min(miss, false_accept), false_accept / min(miss, false_accept)


def _min_dcf(trials: _Trials, weights: tuple[float, float]) -> MinDcf:
    fpr, fnr = trials.rates(thresholds := trials.corners())
    lowest = int(np.argmin(costs := weights[0] * fnr + weights[1] * fpr))
    return MinDcf(float(costs[lowest]), float(thresholds[lowest]))


def _sorted_trials(scores: ArrayLike, is_target: ArrayLike) -> _Trials:
    values, flags = _checked(scores, is_target)
    trials = _Trials(values[flags], values[~flags])
    for kind in trials:
        kind.sort()
    return trials


def _checked(scores: ArrayLike, is_target: ArrayLike) -> tuple[Scores, Flags]:
    values, flags = np.asarray(scores), np.asarray(is_target)
    if values.ndim != 1 or values.shape != flags.shape:
        raise DataError(f"scores and labels must be two lists of one length, got shapes {values.shape}, {flags.shape}")
    if values.size == 0:
        raise DataError("there are no trials to evaluate")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        first = np.flatnonzero(~np.isfinite(values))[0]
        raise DataError(f"score {first} (counted from 0) is {values[first]}: scores must be finite numbers")
    if flags.dtype != np.bool_ and not np.isin(flags, (0, 1)).all():
        raise DataError("labels must be true (target) or false (nontarget), or 1 and 0")
    flags = flags.astype(np.bool_)
    if flags.all() or not flags.any():
        raise DataError(f"all {flags.size} trials are {KINDS[int(flags[0])]} trials: error rates need both kinds")
    return values, flags
