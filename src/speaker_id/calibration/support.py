"""What a number of nontarget trials can say about a false-accept rate."""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from speaker_id.errors import ConfigError, DataError

RULE_OF_30 = 30  # errors that must be expected


class FprSupport(NamedTuple):
    """Whether trials support a false-accept rate."""

    supported: bool
    required: int  # independent nontarget trials
    missing: int  # how many more are needed; 0 when supported
    lowest_fpr: float  # what the trials there are do support; above 1 when they support nothing


def supported_fpr(num_nontargets: int, target_fpr: float) -> FprSupport:
    """Doddington's rule of 30: a rate can be promised from 30 / rate independent nontarget trials on.

    With 30 errors seen, the true rate lies within 30 % of the measured one with 90 % confidence (Doddington et al.,
    "The NIST speaker recognition evaluation", 2000). Trials that repeat the same two people are not independent:
    `speaker_pairs` counts what may be counted.
    """
    if not 0 < target_fpr < 1:
        raise ConfigError(f"target_fpr must lie in 0...1, got {target_fpr}")
    if num_nontargets < 0:
        raise DataError(f"there cannot be {num_nontargets} nontarget trials")
    required = ceil(round(RULE_OF_30 / target_fpr, 6))  # 30 / 0.001 is not to become 30001
    missing = max(0, required - num_nontargets)
    lowest = RULE_OF_30 / num_nontargets if num_nontargets else float("inf")
    return FprSupport(missing == 0, required, missing, lowest)


def fpr_upper_bound(num_false_accepts: int, num_nontargets: int, *, confidence: float = 0.95) -> float:
    """The false-accept rate that is not exceeded with that confidence (Clopper & Pearson 1934, one-sided, exact)."""
    if not 0 <= num_false_accepts <= num_nontargets or num_nontargets == 0:
        raise DataError(f"{num_false_accepts} false accepts of {num_nontargets} nontarget trials cannot be")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must lie in 0...1, got {confidence}")
    if num_false_accepts == num_nontargets:
        return 1.0
    return float(betaincinv(num_false_accepts + 1, num_nontargets - num_false_accepts, confidence))


def speaker_pairs(enrol_speakers: ArrayLike, test_speakers: ArrayLike) -> int:
    """How many different pairs of two people the trials hold (M,), (M,): what can count as independent nontargets."""
    sides = np.stack([np.asarray(enrol_speakers), np.asarray(test_speakers)])
    _, numbers = np.unique(sides, return_inverse=True)
    low, high = np.sort(numbers.reshape(sides.shape), axis=0).astype(np.int64)
    return int(np.unique(low[low != high] * (numbers.max(initial=0) + 1) + high[low != high]).size)
