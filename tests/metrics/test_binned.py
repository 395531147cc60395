from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from speaker_id import metrics
from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics.binned import (
    binned_at_fpr,
    binned_eer,
    binned_error_rates,
    binned_metrics,
    binned_min_dcf,
)

Trials = tuple[np.ndarray, np.ndarray]
Counts = tuple[np.ndarray, np.ndarray, np.ndarray]

ROUNDING = 1e-12
COSTS = st.fixed_dictionaries(
    {"p_target": st.floats(0.001, 0.999), "c_miss": st.floats(0.1, 10), "c_fa": st.floats(0.1, 10)}
)


@st.composite
def trials_of_both_kinds(draw: st.DrawFn) -> Trials:
    """Scores of -1...1 in steps of 1/50 for ties, with both kinds."""
    scores = draw(st.lists(st.integers(-50, 50), min_size=2, max_size=80))
    flags = [True, False, *draw(st.lists(st.booleans(), min_size=len(scores) - 2, max_size=len(scores) - 2))]
    return np.array(scores) / 50, np.array(flags)


def counted(trials: Trials, num_bins: int) -> Counts:
    scores, flags = trials
    edges = np.linspace(-1, 1, num_bins + 1)
    return np.histogram(scores[flags], edges)[0], np.histogram(scores[~flags], edges)[0], edges


def gaussians(distance: float, num: int = 100_000, deviation: float = 0.1) -> Trials:
    """Targets around 0.5, nontargets `distance` deviations below."""
    rng = np.random.default_rng(0)
    scores = 0.5 + deviation * rng.normal(size=(2, num)) - [[0], [distance * deviation]]
    return scores.clip(-1, 1).ravel(), np.arange(2 * num) < num


def test_rates_worked_by_hand() -> None:
    # Thresholds 0, 1, 2 and just above 3; the targets are 1, 1, 2, the nontargets 3, 1, 0.
    thresholds, fpr, fnr = binned_error_rates([1, 1, 2], [3, 1, 0], [0, 1, 2, 3])
    assert thresholds.tolist() == [0, 1, 2, np.nextafter(3, 4)]
    assert fpr.tolist() == [1, 0.25, 0, 0]
    assert fnr.tolist() == [0, 0.25, 0.5, 1]


def test_eer_worked_by_hand() -> None:
    # fpr and fnr are both 1/4 at 1, so nothing can hide.
    assert binned_eer([1, 1, 2], [3, 1, 0], [0, 1, 2, 3]) == (0.25, 1.0, 0.0)
    # From (fpr 1/2, fnr 0) at 1 to (0, 1/4) at 2: gaps 1/2 and 1/4 meet at 1/6; the scores' own lies in 0...1/4.
    eer, threshold, max_error = binned_eer([0, 1, 3], [1, 1, 0], [0, 1, 2, 3])
    assert (eer, threshold, max_error) == (pytest.approx(1 / 6), 2.0, pytest.approx(1 / 6))
    # From (0.6, 0.2) to (0, 0.6): they meet at 0.36; the scores' own lies in 0.2...0.6.
    assert binned_eer([1, 2, 2], [2, 3, 0], [0, 1, 2, 3]) == (pytest.approx(0.36), 1.0, pytest.approx(0.24))


def test_min_dcf_worked_by_hand() -> None:
    # p = 0.5: costs fnr + fpr are 1 at 0, 1/2 at 1, 1/2 at 2. Between 0 and 1: never below 0 + 1/4.
    assert binned_min_dcf([1, 1, 2], [3, 1, 0], [0, 1, 2, 3], p_target=0.5) == (0.5, 1.0, 0.25)


def test_tpr_at_fpr_worked_by_hand() -> None:
    # At most 0.1: edge 2 refuses all nontargets and two of four targets; the target from 1 to 2 may be saved in truth.
    assert binned_at_fpr([1, 1, 2], [3, 1, 0], [0, 1, 2, 3], 0.1) == (0.5, 0.0, 2.0, 0.25)
    assert binned_at_fpr([1, 1, 2], [3, 1, 0], [0, 1, 2, 3], 1.0) == (1.0, 1.0, 0.0, 0.0)


@given(trials_of_both_kinds(), st.integers(1, 60))
def test_rates_at_every_edge_are_those_of_the_scores(trials: Trials, num_bins: int) -> None:
    rates = binned_error_rates(*counted(trials, num_bins))
    for threshold, fpr, fnr in zip(*rates, strict=True):
        own = metrics.rates_at(*trials, threshold)
        assert (own.fpr, own.fnr) == pytest.approx((fpr, fnr), abs=ROUNDING)


@given(trials_of_both_kinds(), st.integers(1, 60))
def test_the_eer_is_never_further_off_than_it_says(trials: Trials, num_bins: int) -> None:
    ours = binned_eer(*counted(trials, num_bins))
    assert abs(ours.eer - metrics.eer(*trials).eer) <= ours.max_error + ROUNDING


@given(trials_of_both_kinds(), st.integers(1, 60), COSTS)
def test_min_dcf_is_never_further_off_than_it_says(trials: Trials, num_bins: int, costs: dict[str, float]) -> None:
    ours = binned_min_dcf(*counted(trials, num_bins), **costs)
    exact = metrics.min_dcf(*trials, **costs).min_dcf
    assert -ROUNDING <= ours.min_dcf - exact <= ours.max_error + 1e-9
    assert metrics.dcf_at(*trials, ours.threshold, **costs) == pytest.approx(ours.min_dcf)


@given(trials_of_both_kinds(), st.integers(1, 60), st.floats(0, 1))
def test_tpr_at_fpr_is_never_further_off_than_it_says(trials: Trials, num_bins: int, limit: float) -> None:
    ours = binned_at_fpr(*counted(trials, num_bins), limit)
    exact = metrics.tpr_at_fpr(*trials, limit)
    assert -ROUNDING <= exact - ours.tpr <= ours.max_error + ROUNDING
    assert ours.fpr <= limit
    own = metrics.rates_at(*trials, ours.threshold)
    assert (own.tpr, own.fpr) == pytest.approx((ours.tpr, ours.fpr))


@given(trials_of_both_kinds())
def test_a_bin_for_each_score_hides_nothing(trials: Trials) -> None:
    counts = counted(trials, 1024)
    assert binned_eer(*counts).eer == pytest.approx(metrics.eer(*trials).eer, abs=ROUNDING)
    assert binned_min_dcf(*counts).min_dcf == pytest.approx(metrics.min_dcf(*trials).min_dcf, abs=ROUNDING)


@pytest.mark.parametrize("distance", [1.5, 2.0, 3.0, 4.0])  # densities at the threshold: 3.0, 2.4, 1.3, 0.5
def test_cosines_in_32768_bins_bound_the_eers_error_by_a_ten_thousandth(distance: float) -> None:
    trials = gaussians(distance)
    ours = binned_eer(*counted(trials, 2**15))
    assert ours.max_error <= 1e-4
    assert abs(ours.eer - metrics.eer(*trials).eer) <= ours.max_error + ROUNDING
    assert ours.eer == pytest.approx(norm.sf(distance / 2), abs=4 / np.sqrt(trials[0].size))


def test_a_coarse_histogram_says_that_it_is_coarse() -> None:
    trials = gaussians(2.0)
    bounds = [binned_eer(*counted(trials, num_bins)).max_error for num_bins in (2**5, 2**9, 2**13)]
    assert bounds[0] > 0.05 > bounds[1] > 2e-3 > bounds[2]


def test_the_summary_repeats_the_single_measures() -> None:
    trials = gaussians(3.0, num=1000)
    counts = counted(trials, 2**10)
    summary, equal = binned_metrics(*counts), binned_eer(*counts)
    assert (summary.eer, summary.threshold, summary.eer_max_error) == equal
    own = metrics.rates_at(*trials, summary.threshold)
    assert (summary.tpr, summary.fpr) == pytest.approx((own.tpr, own.fpr))
    rare, common = binned_min_dcf(*counts), binned_min_dcf(*counts, p_target=0.05)
    assert (summary.min_dcf, summary.min_dcf_max_error) == (rare.min_dcf, rare.max_error)
    assert (summary.min_dcf_05, summary.min_dcf_05_max_error) == (common.min_dcf, common.max_error)
    assert (summary.num_targets, summary.num_nontargets, summary.num_trials) == (1000, 1000, 2000)


def test_the_summary_takes_the_exact_ones_place() -> None:
    assert isinstance(binned_metrics([0, 1], [1, 0], [0, 1, 2]), metrics.VerificationMetrics)


def test_bins_need_not_be_alike() -> None:
    scores, flags = np.array([0.1, 0.2, 5.0, 70.0]), np.array([False, True, False, True])
    edges = np.array([0.0, 0.15, 1.0, 10.0, 100.0])
    counts = np.histogram(scores[flags], edges)[0], np.histogram(scores[~flags], edges)[0], edges
    assert binned_eer(*counts).eer == metrics.eer(scores, flags).eer


def test_the_last_threshold_refuses_the_highest_score() -> None:
    assert binned_min_dcf([0, 1], [0, 100], [0, 0.5, 1]) == (1.0, np.nextafter(1, 2), 1.0)


# refusals


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (([1, 2], [1], [0, 1, 2]), "K bins"),
        (([1, 2], [2, 1], [0, 1]), "K bins"),
        (([[1]], [[1]], [0, 1]), "K bins"),
        (([1, 2], [2, 1], [0, 1, 1]), "rise"),
        (([1, 2], [2, 1], [0, 1, np.inf]), "finite"),
        (([1, -2], [2, 1], [0, 1, 2]), "negative"),
        (([1.5, 2], [2, 1], [0, 1, 2]), "whole"),
        (([0, 0], [2, 1], [0, 1, 2]), "all 3 trials are nontarget"),
        (([4, 0], [0, 0], [0, 1, 2]), "all 4 trials are target"),
        (([0, 0], [0, 0], [0, 1, 2]), "no trials"),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [binned_error_rates, binned_eer, binned_min_dcf, binned_metrics, lambda *counts: binned_at_fpr(*counts, 0.1)],
)
def test_unusable_counts_are_refused_by_every_measure(measure: Any, counts: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure(*counts)


@pytest.mark.parametrize("options", [{"p_target": 0}, {"p_target": 1}, {"c_miss": 0}, {"c_fa": -1}])
def test_costs_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        binned_min_dcf([0, 1], [1, 0], [0, 1, 2], **options)


@pytest.mark.parametrize("fpr", [-0.1, 1.5, np.nan])
def test_limits_that_make_no_sense_are_refused(fpr: float) -> None:
    with pytest.raises(ConfigError):
        binned_at_fpr([0, 1], [1, 0], [0, 1, 2], fpr)


def test_counts_and_edges_of_the_caller_stay_as_they_are() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    binned_metrics([0, 1], [1, 0], edges)
    assert edges.tolist() == [0, 1, 2]
