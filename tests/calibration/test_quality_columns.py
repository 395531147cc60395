import numpy as np
import pytest

from speaker_id import metrics
from speaker_id.calibration import fit_logistic, quality_columns
from speaker_id.errors import DataError

SECONDS, MAGNITUDES, MEANS = [1.0, np.e, np.e**2], [np.e, 1.0, 1.0], [-0.5, 0.25, 0.0]


def test_columns_worked_by_hand() -> None:
    columns = quality_columns([0, 2], [1, 2], seconds=SECONDS, magnitudes=MAGNITUDES, cohort_means=MEANS)
    np.testing.assert_allclose(columns, [[0, 1, 0, 1, -0.5, 0.25], [2, 2, 0, 0, 0, 0]], atol=1e-12)


def test_only_what_is_given_becomes_columns() -> None:
    np.testing.assert_allclose(quality_columns([1], [0], cohort_means=MEANS), [[-0.5, 0.25]])


def test_enrolment_and_test_may_change_places() -> None:
    one, other = (quality_columns(*sides, seconds=SECONDS, cohort_means=MEANS) for sides in ([[0], [2]], [[2], [0]]))
    np.testing.assert_array_equal(one, other)


def test_qualities_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="no quality"):
        quality_columns([0], [1])
    with pytest.raises(DataError, match=r"seconds of recording 1 .* 0\.0"):
        quality_columns([0], [1], seconds=[1.0, 0.0])
    with pytest.raises(DataError, match=r"magnitudes of recording 0 .* nan"):
        quality_columns([0], [1], magnitudes=[np.nan, 1.0])


def test_seconds_make_llrs_better_where_short_recordings_score_lower() -> None:
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.uniform(0, 3, size=4000))
    enrol, test = rng.integers(4000, size=(2, 20_000))
    is_target = rng.random(20_000) < 0.25
    shortest = np.log(np.minimum(seconds[enrol], seconds[test]))
    scores = 0.3 * is_target * (1 + shortest) + rng.normal(size=20_000) * 0.3
    alone = scores[:, None]
    with_seconds = np.column_stack([scores, quality_columns(enrol, test, seconds=seconds)])
    costs = [
        metrics.cllr(fit_logistic(columns[::2], is_target[::2]).llr(columns[1::2]), is_target[1::2])
        for columns in (alone, with_seconds)
    ]
    assert costs[1] < costs[0] - 0.01
