"""Qualities of the two recordings of a trial, as extra columns beside the scores for `fit_logistic` (QMF).

Thienpondt et al., "The IDLAB VoxSRC-20 submission", 2021 (arXiv:2010.11255): a score means less when a recording is
short, its embedding small before normalisation, or near to everybody in a cohort.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.calibration.columns import Array
from speaker_id.errors import DataError


def quality_columns(
    enrol_index: ArrayLike,
    test_index: ArrayLike,
    *,
    seconds: ArrayLike | None = None,
    magnitudes: ArrayLike | None = None,
    cohort_means: ArrayLike | None = None,
) -> Array:
    """The lower and the higher of each trial's two values, per quality given: rows (M,), (M,) -> (M, 2 q).

    Each quality holds one value per recording (N,): seconds of sound and magnitudes (lengths of embeddings before
    they were normalised) count as logarithms, cohort means as they are. Enrolment and test may change places. Raises
    `DataError` for seconds or magnitudes of 0 and less, and when no quality is given.
    """
    given = {"seconds": seconds, "magnitudes": magnitudes, "cohort_means": cohort_means}
    measures = [_measure(name, values) for name, values in given.items() if values is not None]
    if not measures:
        raise DataError("no quality was given: seconds, magnitudes or cohort_means")
    enrol, test = np.asarray(enrol_index), np.asarray(test_index)
    sides = [extreme(values[enrol], values[test]) for values in measures for extreme in (np.minimum, np.maximum)]
    return np.column_stack(sides)


def _measure(name: str, values: ArrayLike) -> Array:
    measure: NDArray[Any] = np.asarray(values, np.float64)
    if name == "cohort_means":
        return measure
    if (bad := np.flatnonzero(~(measure > 0))).size:
        raise DataError(f"{name} of recording {bad[0]} (counted from 0) are {measure[bad[0]]}, but must be above 0")
    logarithms: Array = np.log(measure)
    return logarithms
