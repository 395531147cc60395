"""Detection cost: what misses and false accepts cost together, when targets are as rare as they are.

All costs are p c_miss fnr + (1-p) c_fa fpr over min(p c_miss, (1-p) c_fa), p = `p_target`: refusing or accepting
everybody, whichever is cheaper, costs 1. NIST speaker recognition evaluations.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import ConfigError
from speaker_id.metrics.rates import check_threshold
from speaker_id.metrics.trials import Positions, SortedTrials, reachable, sorted_trials

Weights = tuple[float, float]  # cost of a miss rate and of a false-accept rate of 1; the cheaper is 1


class MinDcf(NamedTuple):
    """Lowest normalised detection cost, and the score where it is reached (+inf: accept nobody)."""

    min_dcf: float
    threshold: float


def min_dcf(
    scores: ArrayLike, is_target: ArrayLike, *, p_target: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0
) -> MinDcf:
    """Lowest cost over all thresholds, in 0...1: what the scores could reach if the threshold were known."""
    return lowest_cost(sorted_trials(scores, is_target), dcf_weights(p_target, c_miss, c_fa))


def dcf_at(
    scores: ArrayLike,
    is_target: ArrayLike,
    threshold: float,
    *,
    p_target: float = 0.01,
    c_miss: float = 1.0,
    c_fa: float = 1.0,
) -> float:
    """Cost of `score >= threshold`: never below the lowest cost, and above 1 where deciding blindly were cheaper."""
    check_threshold(threshold)
    trials = sorted_trials(scores, is_target)
    positions = trials.positions(reachable(threshold, trials.target.dtype))
    return float(cost_at(trials, positions, dcf_weights(p_target, c_miss, c_fa)))


def act_dcf(
    llrs: ArrayLike, is_target: ArrayLike, *, p_target: float = 0.01, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Cost of log-likelihood ratios (natural logarithm) at the Bayes threshold, which no evaluation data chose."""
    threshold = bayes_threshold(p_target, c_miss, c_fa)
    return dcf_at(llrs, is_target, threshold, p_target=p_target, c_miss=c_miss, c_fa=c_fa)


def bayes_threshold(p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """The log-likelihood ratio from which accepting costs less than refusing: log((1-p) c_fa) - log(p c_miss)."""
    check_costs(p_target, c_miss, c_fa)
    return float(np.log1p(-p_target) + np.log(c_fa) - np.log(p_target) - np.log(c_miss))


def check_costs(p_target: float, c_miss: float, c_fa: float) -> None:
    if not (0 < p_target < 1 and 0 < c_miss < np.inf and 0 < c_fa < np.inf):
        raise ConfigError(f"p_target must lie in 0...1 and costs be positive, got {p_target=}, {c_miss=}, {c_fa=}")


def dcf_weights(p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> Weights:
    check_costs(p_target, c_miss, c_fa)
    miss, false_accept = p_target * c_miss, (1 - p_target) * c_fa
    return miss / min(miss, false_accept), false_accept / min(miss, false_accept)


def lowest_cost(trials: SortedTrials, weights: Weights) -> MinDcf:
    costs = cost_at(trials, trials.corner_positions, weights)
    lowest = int(np.argmin(costs))
    return MinDcf(float(costs[lowest]), float(trials.corners[lowest]))


def cost_at(trials: SortedTrials, positions: Positions, weights: Weights) -> Any:
    fpr, fnr = trials.rates_of(positions)
    return weights[0] * fnr + weights[1] * fpr
