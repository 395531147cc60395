"""What the scores themselves say about LLRs, whatever a calibration makes of them: for the calibration plot."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import logit

from speaker_id.calibration.columns import Array, as_columns, as_flags
from speaker_id.errors import DataError


class Pav(NamedTuple):
    """The best rising map: distinct scores in rising order and their LLRs, each (M',); -inf and +inf at the ends."""

    scores: Array
    llrs: Array


def pav(scores: ArrayLike, is_target: ArrayLike) -> Pav:
    """Pool adjacent violators (Brümmer & du Preez 2006): scores (M,) and labels (M,) -> the LLR of each score.

    A run of scores that pools a targets and b nontargets is worth log(a / b) - log(targets / nontargets), at any
    prior. Below the lowest target it is -inf, above the highest nontarget +inf: the data set no limit there.
    """
    columns = as_columns(scores)
    if columns.shape[1] != 1:
        raise DataError(f"one score per trial, got {columns.shape[1]} columns")
    flags = as_flags(is_target, len(columns))
    distinct, inverse, counts = np.unique(columns[:, 0], return_inverse=True, return_counts=True)
    share = np.bincount(inverse, flags) / counts
    posterior = np.clip(isotonic_regression(share, weights=counts).x, 0, 1)
    return Pav(distinct, logit(posterior) - logit(np.count_nonzero(flags) / flags.size))
