import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics
from speaker_id.errors import ConfigError


def test_operating_points_worked_by_hand() -> None:
    thresholds, fpr, fnr = metrics.error_rates([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert thresholds.tolist() == [0.1, 0.5, 0.9, np.inf]
    assert fpr.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert fnr.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_equal_scores_share_one_operating_point() -> None:
    thresholds, fpr, fnr = metrics.error_rates([0.3] * 10, [True, False] * 5)
    assert thresholds.tolist() == [0.3, np.inf]
    assert fpr.tolist() == [1.0, 0.0]
    assert fnr.tolist() == [0.0, 1.0]


@given(tied_trials())
def test_each_operating_point_counts_what_its_threshold_accepts(trials: Trials) -> None:
    scores, flags = trials
    for threshold, fpr, fnr in zip(*metrics.error_rates(scores, flags), strict=True):
        assert fpr == pytest.approx(np.mean(scores[~flags] >= threshold))
        assert fnr == pytest.approx(np.mean(scores[flags] < threshold))


def test_operating_points_agree_with_scikit_learn() -> None:
    scores, flags = gaussian_trials(1.5, 500, seed=1)
    theirs_fpr, theirs_tpr, theirs_thresholds = roc_curve(flags, scores, drop_intermediate=False)
    thresholds, fpr, fnr = metrics.error_rates(scores, flags)
    np.testing.assert_array_equal(thresholds, theirs_thresholds[::-1])
    np.testing.assert_allclose(fpr, theirs_fpr[::-1], atol=1e-12)
    np.testing.assert_allclose(1 - fnr, theirs_tpr[::-1], atol=1e-12)


def test_a_score_equal_to_the_threshold_is_accepted() -> None:
    assert metrics.rates_at([0.5, 0.5, 0.4], [1, 0, 0], 0.5) == (1.0, 0.5, 0.0)


def test_a_float32_score_just_below_the_threshold_is_refused() -> None:
    assert float(np.float32(0.7)) < 0.7
    assert metrics.rates_at(np.float32([0.7, 0.1]), [1, 0], 0.7).tpr == 0.0


@given(tied_trials(), st.floats(0, 1))
def test_tpr_at_fpr_is_the_best_real_threshold_within_the_limit(trials: Trials, limit: float) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    assert metrics.tpr_at_fpr(*trials, limit) == pytest.approx(1 - fnr[fpr <= limit].min())


@given(tied_trials())
def test_tpr_at_fpr_allows_exactly_the_rates_that_occur(trials: Trials) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    for limit in fpr:
        assert metrics.tpr_at_fpr(*trials, limit) == pytest.approx(1 - fnr[fpr <= limit].min())


@given(tied_trials(), st.floats(0, 1))
def test_the_threshold_at_an_fpr_is_the_lowest_score_that_keeps_within_it(trials: Trials, limit: float) -> None:
    thresholds, fpr, fnr = metrics.error_rates(*trials)
    first = int(np.flatnonzero(fpr <= limit)[0])
    found = metrics.at_fpr(*trials, limit)
    assert (found.tpr, found.fpr) == pytest.approx((1 - fnr[first], fpr[first]))
    assert metrics.rates_at(*trials, found.threshold)[:2] == pytest.approx((found.tpr, found.fpr))
    assert np.isfinite(found.threshold)
    if np.isfinite(thresholds[first]):
        assert found.threshold == thresholds[first]


def test_a_nontarget_on_top_leaves_a_threshold_just_above_it() -> None:
    found = metrics.at_fpr(np.float32([0.1, 0.7]), [1, 0], 0.5)
    assert found == (0.0, 0.0, float(np.nextafter(np.float32(0.7), np.float32(1))))


def test_one_in_a_hundred_false_accepts_may_happen_at_one_per_cent() -> None:
    scores = [*range(100), 98.5]
    flags = [0] * 100 + [1]
    assert metrics.at_fpr(scores, flags, 0.01) == (1.0, 0.01, 98.5)
    assert metrics.at_fpr(scores, flags, 0.0099) == (0.0, 0.0, np.nextafter(99, 100))
    assert metrics.at_fpr(scores, flags, 1.0) == (1.0, 1.0, 0.0)


def test_thresholds_and_rates_that_make_no_sense_are_refused() -> None:
    for refused in (
        lambda: metrics.rates_at([0, 1], [0, 1], np.nan),
        lambda: metrics.dcf_at([0, 1], [0, 1], np.nan),
        lambda: metrics.tpr_at_fpr([0, 1], [0, 1], 1.5),
        lambda: metrics.at_fpr([0, 1], [0, 1], np.nan),
    ):
        with pytest.raises(ConfigError):
            refused()
