"""How good log-likelihood ratios are: Cllr, and what of it the order of the scores alone could reach.

Brümmer & du Preez, "Application-independent evaluation of speaker detection", 2006. Natural logarithms in, bits out:
0 is perfect, 1 is what an LLR of 0 for every trial costs, and a badly calibrated system costs more than that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import xlogy

from speaker_id.errors import ConfigError
from speaker_id.metrics.trials import Array, Scores, SortedTrials, checked, sorted_trials


class LlrMap(NamedTuple):
    """What a score is worth: `llr = scale * score + offset`; (1, 0) where scores are log-likelihood ratios."""

    scale: float
    offset: float

    def __call__(self, scores: Scores) -> Array:
        return self.scale * np.asarray(scores, np.float64) + self.offset

    def checked(self) -> "LlrMap":
        """Itself, when it is finite and rises; else `ConfigError`."""
        if not (0 < self.scale < np.inf and np.isfinite(self.offset)):
            raise ConfigError(f"a log-likelihood ratio must rise with the score, got {self.scale=}, {self.offset=}")
        return self


def cllr(llrs: ArrayLike, is_target: ArrayLike) -> float:
    """Mean of log2(1 + e^-llr) over targets and of log2(1 + e^llr) over nontargets, both kinds counting alike."""
    values, flags = checked(llrs, is_target)
    wide = values.astype(np.float64)
    return float((bits(-wide[flags]).mean() + bits(wide[~flags]).mean()) / 2)


def min_cllr(scores: ArrayLike, is_target: ArrayLike) -> float:
    """Cllr after the best rising map of scores to LLRs (pool adjacent violators): at most 1, never above `cllr`."""
    return min_cllr_of(sorted_trials(scores, is_target))


def bits(log_odds: Scores) -> Array:
    """log2(1 + e^x) without overflow: what trusting the wrong side by e^x costs."""
    return np.asarray(np.logaddexp(0, log_odds) / np.log(2), np.float64)


def min_cllr_of(trials: SortedTrials) -> float:
    """The hull's edges can only start at corners, so the steps between corners are all that must be pooled.

    In a pool with shares a of the targets and b of the nontargets the best LLR is log(a / b), so that it costs
    (a log2((a + b) / a) + b log2((a + b) / b)) / 2.
    """
    misses, rejects = trials.below(trials.corner_positions)
    a, b = np.diff(misses, prepend=0) / trials.num_targets, np.diff(rejects, prepend=0) / trials.num_nontargets
    a, b = a[a + b > 0], b[a + b > 0]
    pools = isotonic_regression(a / (a + b), weights=a + b).blocks[:-1]
    a, b = np.add.reduceat(a, pools), np.add.reduceat(b, pools)
    return float((xlogy(a + b, a + b) - xlogy(a, a) - xlogy(b, b)).sum() / (2 * np.log(2)))
