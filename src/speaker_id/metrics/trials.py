"""Scores and labels as people hand them in: checked, sorted by kind, and counted above and below thresholds."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import DataError

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

KINDS = ("nontarget", "target")


class Positions(NamedTuple):
    """How many of the sorted scores of each kind lie below a threshold: numbers, or arrays for several thresholds."""

    target: Any
    nontarget: Any


class SortedTrials:
    """Scores of each kind in rising order, one dtype; every trial counts once."""

    def __init__(self, target: Scores, nontarget: Scores) -> None:
        self.target, self.nontarget = target, nontarget
        self.num_targets: float = target.size
        self.num_nontargets: float = nontarget.size

    def __iter__(self) -> Iterator[Scores]:
        return iter((self.target, self.nontarget))

    @cached_property
    def corners(self) -> Scores:
        """Every distinct target score and +inf: all the thresholds that the minimum of a cost can need.

        From any threshold, go up to the next target score (+inf if there is none): no target lies between, so no
        miss is added, and false accepts can only fall. Any cost rising in both is therefore lowest at a corner.
        """
        return np.append(np.unique(self.target), self.target.dtype.type(np.inf))

    @cached_property
    def corner_positions(self) -> Positions:
        return self.positions(self.corners)

    def positions(self, thresholds: Any) -> Positions:
        """Of thresholds of the scores' own dtype (another would copy both arrays)."""
        return Positions(np.searchsorted(self.target, thresholds), np.searchsorted(self.nontarget, thresholds))

    def below(self, positions: Positions) -> tuple[Any, Any]:
        """How much the targets and the nontargets below count."""
        return positions

    def means(self, target_values: Array, nontarget_values: Array) -> tuple[float, float]:
        """Of one value per sorted trial."""
        return float(target_values.mean()), float(nontarget_values.mean())

    def counts_of(self, positions: Positions) -> tuple[Any, Any]:
        """False accepts and misses."""
        misses, rejects = self.below(positions)
        return self.num_nontargets - rejects, misses

    def rates_of(self, positions: Positions) -> tuple[Any, Any]:
        """fpr, fnr."""
        false_accepts, misses = self.counts_of(positions)
        return false_accepts / self.num_nontargets, misses / self.num_targets

    def rates(self, thresholds: Any) -> tuple[Any, Any]:
        """fpr, fnr at thresholds of the scores' own dtype."""
        return self.rates_of(self.positions(thresholds))

    def rates_at(self, threshold: float) -> tuple[Any, Any]:
        """fpr, fnr at a threshold of any precision."""
        return self.rates(reachable(threshold, self.target.dtype))


class WeightedTrials(SortedTrials):
    """The same trials, each counting as often as its weight says (a whole number, 0 too)."""

    def __init__(self, trials: SortedTrials, target_weights: Array, nontarget_weights: Array) -> None:
        self.target, self.nontarget, self._unweighted = trials.target, trials.nontarget, trials
        self._weights = target_weights, nontarget_weights
        self._target_below, self._nontarget_below = _cumulative(target_weights), _cumulative(nontarget_weights)
        self.num_targets, self.num_nontargets = self._target_below[-1], self._nontarget_below[-1]

    @cached_property
    def corners(self) -> Scores:
        return self._unweighted.corners

    @cached_property
    def corner_positions(self) -> Positions:
        return self._unweighted.corner_positions

    def below(self, positions: Positions) -> tuple[Any, Any]:
        return self._target_below[positions.target], self._nontarget_below[positions.nontarget]

    def means(self, target_values: Array, nontarget_values: Array) -> tuple[float, float]:
        totals = self.num_targets, self.num_nontargets
        columns = zip(self._weights, (target_values, nontarget_values), totals, strict=True)
        target, nontarget = (float(weights @ values / total) for weights, values, total in columns)
        return target, nontarget


def _cumulative(weights: Array) -> Array:
    below = np.zeros(weights.size + 1)
    np.cumsum(weights, out=below[1:])
    return below


def reachable(threshold: Any, dtype: np.dtype[Any]) -> Any:
    """The lowest value of `dtype` that `>= threshold` accepts: it decides alike, and needs no wider scores."""
    wide = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):  # beyond the range of float32 lies infinity, which decides alike
        narrow = wide.astype(dtype)
    return np.where(narrow < wide, np.nextafter(narrow, dtype.type(np.inf)), narrow)


def just_above(score: Any) -> float:
    """The lowest threshold that refuses `score`: finite, as files and people expect of a threshold."""
    return float(np.nextafter(score, score.dtype.type(np.inf)))


def sorted_trials(scores: ArrayLike, is_target: ArrayLike) -> SortedTrials:
    values, flags = checked(scores, is_target)
    target, nontarget = values[flags], values[~flags]
    target.sort()
    nontarget.sort()
    return SortedTrials(target, nontarget)


def checked(scores: ArrayLike, is_target: ArrayLike) -> tuple[Scores, Flags]:
    """Both as arrays (M,), scores float32 or float64. Raises `DataError` as the package promises."""
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
