"""Do two systems differ, or could other speakers have turned it round? Both are judged on the same trials."""

from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.metrics.bootstrap import Interval, check_draws, percentiles
from speaker_id.metrics.cost import dcf_weights, lowest_cost
from speaker_id.metrics.equal_error import eer_of
from speaker_id.metrics.speakers import SpokenTrials, draws, weight_factors
from speaker_id.metrics.summary import P_TARGETS
from speaker_id.metrics.trials import Array, SortedTrials, checked


class PairedDifference(NamedTuple):
    """One figure of systems A and B; `difference` is B's less A's."""

    a: float
    b: float
    difference: float
    interval: Interval  # of the difference
    p_value: float  # two-sided: how often drawing speakers alone turns a difference of this sign round, twice

    @property
    def significant(self) -> bool:
        """The interval excludes no difference at all."""
        return not self.interval.low <= 0 <= self.interval.high


def paired_differences(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    is_target: ArrayLike,
    enrol_speakers: ArrayLike,
    test_speakers: ArrayLike,
    *,
    rng: np.random.Generator,
    num_draws: int = 1000,
    level: float = 0.95,
) -> dict[str, PairedDifference]:
    """eer, min_dcf and min_dcf_05 of two systems on the same trials, each column (M,).

    Every draw of speakers weighs the trials of both systems alike, so that hard speakers trouble both and their
    difference varies less than either figure. Raises as `intervals` does.
    """
    check_draws(num_draws, level)
    (values_a, flags), (values_b, _) = checked(scores_a, is_target), checked(scores_b, is_target)
    first, second, num_speakers = weight_factors(flags, enrol_speakers, test_speakers)
    systems = [SpokenTrials(values, flags, (first, second)) for values in (values_a, values_b)]
    points_a, points_b = (_figures(system.sorted) for system in systems)
    drawn = islice(draws(systems, num_speakers, rng), num_draws)
    moved = np.array([_figures(b) - _figures(a) for a, b in drawn])
    return {
        name: PairedDifference(float(a), float(b), float(b - a), percentiles(column, level), _p_value(column))
        for name, a, b, column in zip(_NAMES, points_a, points_b, moved.T, strict=True)
    }


_NAMES = ("eer", *(f"min_dcf{suffix}" for suffix in P_TARGETS))


def _figures(trials: SortedTrials) -> Array:
    costs = [lowest_cost(trials, dcf_weights(p_target)).min_dcf for p_target in P_TARGETS.values()]
    return np.array([eer_of(trials).eer, *costs])


def _p_value(differences: Array) -> float:
    """The data themselves count as one more draw on each side, so that no p is 0."""
    against = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return float(min(1.0, 2 * (against + 1) / (differences.size + 1)))
