import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.contracts import OperatingPoint
from speaker_id.metrics import LlrMap, eer, min_dcf, rates_at
from speaker_id.metrics.trials import SortedTrials, sorted_trials
from speaker_id.report.curves import NUM_POINTS, PRODUCT, histogram, marks, reliability, sweep, thinned


def gaussians(num_targets: int, num_nontargets: int, apart: float = 2) -> SortedTrials:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(apart, 1, num_targets), rng.normal(0, 1, num_nontargets)])
    return sorted_trials(scores, np.arange(scores.size) < num_targets)


def test_a_sweep_of_few_trials_has_every_score_and_its_rates() -> None:
    found = sweep(sorted_trials([0.1, 0.5, 0.5, 0.9], [False, True, False, True]))
    np.testing.assert_array_equal(found.thresholds, [0.1, 0.5, 0.9])
    np.testing.assert_array_equal(found.fpr, [1, 0.5, 0])
    np.testing.assert_array_equal(found.fnr, [0, 0, 0.5])


def test_a_sweep_of_many_trials_stays_short_and_reaches_both_tails() -> None:
    found = sweep(gaussians(20_000, 500_000))
    assert found.thresholds.size <= 2 * NUM_POINTS
    assert found.fpr[found.fpr > 0].min() < 1e-5
    assert found.fnr[found.fnr > 0].min() < 1e-4
    assert (np.diff(found.fpr) <= 0).all()
    assert (np.diff(found.fnr) >= 0).all()


def test_marks_lie_where_the_metrics_say() -> None:
    rng = np.random.default_rng(1)
    is_target = np.arange(22_000) < 2000
    scores = rng.normal(size=22_000) + 3 * is_target
    found = {mark.name: mark for mark in marks(sorted_trials(scores, is_target), OperatingPoint(2.5, "by hand"))}
    assert next(iter(found)) == "equal error rate"
    assert found["equal error rate"].threshold == eer(scores, is_target).threshold
    assert found[PRODUCT].threshold == 2.5
    assert found["lowest cost, 1 target in 100"].threshold == min_dcf(scores, is_target).threshold
    assert found["at most 1 % of strangers"].fpr == 0.01
    for mark in found.values():
        rates = rates_at(scores, is_target, mark.threshold)
        assert (mark.fpr, mark.fnr) == (rates.fpr, pytest.approx(rates.fnr))


def test_a_rate_that_so_few_trials_cannot_show_gets_no_mark() -> None:
    names = {mark.name for mark in marks(gaussians(50, 150), None)}
    assert "at most 1 % of strangers" in names
    assert "at most 0.1 % of strangers" not in names
    assert PRODUCT not in names


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60), st.lists(st.floats(-1, 1, width=32), min_size=1))
def test_shares_of_a_histogram_add_up_to_one_for_each_kind(targets: list[float], nontargets: list[float]) -> None:
    flags = [True] * len(targets) + [False] * len(nontargets)
    found = histogram(sorted_trials(np.array(targets + nontargets, np.float32), flags))
    assert found.target.sum() == pytest.approx(1)
    assert found.nontarget.sum() == pytest.approx(1)
    assert found.edges.size == found.target.size + 1


def test_true_likelihood_ratios_lie_on_the_diagonal() -> None:
    """Two Gaussians of variance 1 at 0 and 2: the ratio's logarithm is 2 x - 2."""
    found = reliability(gaussians(200_000, 200_000), LlrMap(2, -2))
    assert found.stated is not None
    inside = np.abs(found.stated) < 4
    np.testing.assert_allclose(found.observed[inside], found.stated[inside], atol=0.25)
    wrong = reliability(gaussians(200_000, 200_000), LlrMap(4, -4))
    assert wrong.stated is not None
    np.testing.assert_allclose(wrong.observed[inside], wrong.stated[inside] / 2, atol=0.25)


def test_what_scores_are_worth_never_falls_and_is_counted_in_shares() -> None:
    found = reliability(sorted_trials([1, 2, 2, 2, 3, 3, 4.0], [0, 0, 0, 1, 1, 0, 1]), None)
    assert found.stated is None
    np.testing.assert_allclose(found.low, [2, 3])
    np.testing.assert_allclose(found.high, [3, 4])
    np.testing.assert_allclose(found.observed, np.log([(1 / 3) / (2 / 4), (1 / 3) / (1 / 4)]))


def test_separated_kinds_leave_nothing_to_compare() -> None:
    assert reliability(sorted_trials([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]), LlrMap(1, 0)).observed.size == 0


def test_thinning_keeps_the_order_and_no_more_than_asked_for() -> None:
    rows = np.arange(0, 1000, 2)
    found = thinned(rows, 100, np.random.default_rng(0))
    assert found.size == np.unique(found).size == 100
    assert np.isin(found, rows).all()
    assert (np.diff(found) > 0).all()
    assert thinned(rows, 500, np.random.default_rng(0)) is rows
