"""Scores to log-likelihood ratios by logistic regression: one system, several (fusion), or with qualities (QMF).

Brümmer et al., "Fusion of heterogeneous speaker recognition systems", 2007: the LLR is an affine function of the
columns, and its weights minimise the cross-entropy at a chosen prior of target trials, whatever their share is here.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, logit

from speaker_id.calibration.columns import Array, Flags, as_columns, as_flags
from speaker_id.errors import ConfigError, DataError

GRADIENT_TOLERANCE = 1e-10  # of a cost that is at most log(2) where nothing is known


@dataclass(frozen=True)
class LogisticCalibration:
    """llr = weights · columns + offset.

    `separable` says that some map told every target from every nontarget, so that the data alone set no limit to the
    weights: `fit_logistic` then sets one. The LLRs are finite, and more trials would be worth having.
    """

    weights: tuple[float, ...]
    offset: float
    separable: bool = False

    def llr(self, columns: ArrayLike) -> Array:
        """(M, k), or (M,) for one column -> (M,); raises `DataError` for another number of columns."""
        values = as_columns(columns)
        if values.shape[1] != len(self.weights):
            raise DataError(f"this calibration takes {len(self.weights)} columns, got {values.shape[1]}")
        llrs: Array = values @ np.asarray(self.weights) + self.offset
        return llrs


class _Labels(NamedTuple):
    """Each trial's share in the cost, and how much of a target it is, each (M,)."""

    shares: Array
    targets: Array


def fit_logistic(columns: ArrayLike, is_target: ArrayLike, *, p_target: float = 0.01) -> LogisticCalibration:
    """Fit columns (M, k), or scores (M,), to which trials are targets (M,); nothing is regularised.

    Only separable data need a limit. One target and one nontarget are added where the targets lie, and as many where
    the nontargets lie, spread evenly (Laplace's rule of succession): what never happened may happen next time.
    A negative weight means that the column is higher for nontarget trials: wrong for a single score, possible for a
    quality. Raises `DataError` for trials of one kind only and for columns that repeat each other or never change.
    """
    if not 0 < p_target < 1:
        raise ConfigError(f"p_target, the prior of target trials, must lie in 0...1, got {p_target}")
    values = as_columns(columns)
    flags = as_flags(is_target, len(values))
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    _refuse_redundant(values, deviation)
    rows = np.column_stack([(values - mean) / deviation, np.ones(len(values))])
    solution = _minimise(rows, _labels(flags, p_target), p_target)
    if separable := _separates(rows @ solution, flags):
        solution = _minimise(rows, _labels(flags, p_target, extra=1), p_target)
    weights = solution[:-1] / deviation
    return LogisticCalibration(tuple(weights.tolist()), float(solution[-1] - weights @ mean), separable)


def _refuse_redundant(values: Array, deviation: Array) -> None:
    if (flat := np.flatnonzero(deviation <= 1e-12 * np.abs(values).max(axis=0))).size:
        raise DataError(f"column {flat[0]} (counted from 0) is the same in every trial: leave it out")
    correlation = np.corrcoef(values, rowvar=False)
    if np.linalg.matrix_rank(np.atleast_2d(correlation), tol=1e-9, hermitian=True) < values.shape[1]:
        raise DataError(f"the {values.shape[1]} columns repeat each other: one is a sum of the others, leave it out")


def _labels(flags: Flags, p_target: float, *, extra: int = 0) -> _Labels:
    """`extra` targets and nontargets are spread over the trials that are targets, and over those that are not."""
    num_targets = np.count_nonzero(flags)
    num_nontargets = flags.size - num_targets
    spread = np.where(flags, extra / num_targets, extra / num_nontargets)
    as_target = (flags + spread) * p_target / (num_targets + 2 * extra)
    as_nontarget = (~flags + spread) * (1 - p_target) / (num_nontargets + 2 * extra)
    return _Labels(as_target + as_nontarget, as_target / (as_target + as_nontarget))


def _minimise(rows: Array, labels: _Labels, p_target: float) -> Array:
    """Weights and, last, the offset (k + 1,) of the smallest cross-entropy, by Newton steps in a trust region."""

    def cost(solution: Array) -> tuple[float, Array]:
        log_odds = rows @ solution + logit(p_target)
        losses = np.logaddexp(0, log_odds) - labels.targets * log_odds
        return float(labels.shares @ losses), rows.T @ (labels.shares * (expit(log_odds) - labels.targets))

    def curvature(solution: Array) -> Array:
        posterior = expit(rows @ solution + logit(p_target))
        hessian: Array = rows.T @ ((labels.shares * posterior * (1 - posterior))[:, None] * rows)
        return hessian

    start = np.zeros(rows.shape[1])
    found = minimize(
        cost,
        start,
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": GRADIENT_TOLERANCE, "maxiter": 200},
    )
    solution: Array = found.x
    return solution


def _separates(llrs: Array, flags: Flags) -> bool:
    return bool(llrs[flags].min() >= llrs[~flags].max())
