"""What calibration is given, checked once: columns (M, k) of scores or qualities, and which trials are targets."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import DataError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def as_columns(columns: ArrayLike) -> Array:
    """(M,) or (M, k) -> (M, k) float64; raises `DataError` for another shape, no trials, or no numbers."""
    values = np.asarray(columns, np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"calibration needs one row per trial and at least one column, got shape {values.shape}")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"trial {row} (counted from 0) has {values[row, column]} in column {column}, not a number")
    return values


def as_flags(is_target: ArrayLike, num: int) -> Flags:
    """Which of `num` trials are targets, (M,); raises `DataError` when they are not as many, or all of one kind."""
    flags: NDArray[Any] = np.asarray(is_target)
    if flags.shape != (num,):
        raise DataError(f"{num} trials need {num} labels, got shape {flags.shape}")
    if flags.dtype != np.bool_ and not np.isin(flags, (0, 1)).all():
        raise DataError("labels must be true (target) or false (nontarget), or 1 and 0")
    flags = flags.astype(np.bool_)
    if flags.all() or not flags.any():
        kind = "target" if flags[0] else "nontarget"
        raise DataError(f"all {num} trials are {kind} trials: calibration needs both kinds")
    return flags
