import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llreval.bayes_error_rate import fast_Bayes_error_rate
from llreval.pav_rocch import PAV, ROCCH
from scipy.stats import norm

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics
from speaker_id.errors import ConfigError


def test_min_dcf_worked_by_hand() -> None:
    # p = 0.01: fpr 1/4 at 0.5 costs 0.99 / 4 / 0.01 = 24.75; fnr 1/2 at 0.9 costs 1/2.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.min_dcf(scores, flags) == (0.5, 0.9)
    # p = 0.5, a miss three times as dear: at 0.5 it costs 0.5 * 0.25 / 0.5 = 1/4, at 0.9 it costs 3/2.
    assert metrics.min_dcf(scores, flags, p_target=0.5, c_miss=3) == (0.25, 0.5)


def test_nobody_is_accepted_where_every_threshold_costs_more() -> None:
    assert metrics.min_dcf([1.0, 2.0], [1, 0]) == (1.0, np.inf)


@given(tied_trials(), st.floats(0.001, 0.999), st.floats(0.1, 10), st.floats(0.1, 10))
def test_target_scores_hold_the_lowest_cost_of_all_operating_points(
    trials: Trials, p_target: float, c_miss: float, c_fa: float
) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    costs = p_target * c_miss * fnr + (1 - p_target) * c_fa * fpr
    result = metrics.min_dcf(*trials, p_target=p_target, c_miss=c_miss, c_fa=c_fa)
    assert result.min_dcf == pytest.approx(costs.min() / min(p_target * c_miss, (1 - p_target) * c_fa))
    assert 0 <= result.min_dcf <= 1 + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_min_dcf_agrees_with_llreval(seed: int) -> None:
    scores, flags = gaussian_trials(1.0 + seed / 2, 2000, seed)
    scores = scores.round(2)
    hull = ROCCH(PAV(scores, flags.astype(int)))
    for p_target in (0.01, 0.05, 0.7):
        theirs = hull.Bayes_error_rate(np.log(p_target / (1 - p_target))) / min(p_target, 1 - p_target)
        assert metrics.min_dcf(scores, flags, p_target=p_target).min_dcf == pytest.approx(theirs)


def test_cost_at_a_threshold_worked_by_hand() -> None:
    # At 0.4: fpr 2/4, fnr 0. p = 0.05: 0.95 * 0.5 / 0.05 = 9.5. At 0.6: fpr 1/4, fnr 1/2: 4.75 + 0.5.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.dcf_at(scores, flags, 0.4, p_target=0.05) == pytest.approx(9.5)
    assert metrics.dcf_at(scores, flags, 0.6, p_target=0.05) == pytest.approx(5.25)
    assert metrics.dcf_at(scores, flags, np.inf, p_target=0.05, c_miss=3) == 1.0  # refusing everybody
    # p = 1/2, a false accept four times as dear: a miss costs 1/2, a false accept 2; at 0.6 (1/4 + 1/2) / (1/2).
    assert metrics.dcf_at(scores, flags, 0.6, p_target=0.5, c_fa=4) == pytest.approx(1.5)


def test_a_threshold_between_two_float32_values_decides_as_it_would_in_full_precision() -> None:
    assert float(np.float32(0.7)) < 0.7
    assert metrics.dcf_at(np.float32([0.7, 0.1]), [1, 0], 0.7) == 1.0
    assert metrics.dcf_at(np.float32([0.7, 0.1]), [1, 0], float(np.float32(0.7))) == 0.0
    assert metrics.dcf_at(np.float32([0.7, 0.1]), [1, 0], 1e300) == 1.0  # beyond all of float32


def test_the_bayes_threshold_is_where_both_decisions_cost_alike() -> None:
    assert metrics.bayes_threshold(0.5) == 0.0
    assert metrics.bayes_threshold(0.01) == pytest.approx(np.log(99))
    assert metrics.bayes_threshold(0.2, c_miss=8, c_fa=2) == pytest.approx(0.0)


@given(tied_trials(), st.floats(0.001, 0.999), st.floats(0.1, 10), st.floats(0.1, 10))
def test_actual_cost_is_that_of_the_bayes_decision_on_every_trial(
    trials: Trials, p_target: float, c_miss: float, c_fa: float
) -> None:
    llrs, flags = 10 * trials[0], trials[1]
    accepted = p_target * c_miss * np.exp(llrs.astype(float)) >= (1 - p_target) * c_fa
    cost = p_target * c_miss * np.mean(~accepted[flags]) + (1 - p_target) * c_fa * np.mean(accepted[~flags])
    options = {"p_target": p_target, "c_miss": c_miss, "c_fa": c_fa}
    actual = metrics.act_dcf(llrs, flags, **options)
    assert actual == pytest.approx(cost / min(p_target * c_miss, (1 - p_target) * c_fa))
    assert actual >= metrics.min_dcf(llrs, flags, **options).min_dcf - 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_actual_cost_agrees_with_llreval(seed: int) -> None:
    llrs, flags = gaussian_trials(2.0, 3000, seed)
    llrs = (3 * llrs - 2).round(2)
    odds = np.log([0.01 / 0.99, 0.05 / 0.95, 0.7 / 0.3])
    theirs = fast_Bayes_error_rate(llrs, flags.astype(int), odds) / [0.01, 0.05, 0.3]
    ours = [metrics.act_dcf(llrs, flags, p_target=p) for p in (0.01, 0.05, 0.7)]
    assert ours == pytest.approx(theirs)


def test_true_log_likelihood_ratios_cost_what_theory_says_and_no_less_is_possible() -> None:
    # Of N(0, 1) against N(2, 1) the LLR is 2x - 2; at p = 0.05 its threshold log(19) lies at x = 1 + log(19) / 2.
    scores, flags = gaussian_trials(2.0, 400_000, seed=3)
    at = 1 + np.log(19) / 2
    theory = norm.cdf(at - 2) + 19 * norm.sf(at)
    assert metrics.act_dcf(2 * scores - 2, flags, p_target=0.05) == pytest.approx(theory, abs=0.015)
    assert metrics.min_dcf(scores, flags, p_target=0.05).min_dcf == pytest.approx(theory, abs=0.015)


@pytest.mark.parametrize("options", [{"p_target": 0}, {"p_target": 1}, {"c_miss": 0}, {"c_fa": -1}])
def test_costs_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        metrics.min_dcf([0.1, 0.2], [0, 1], **options)
    with pytest.raises(ConfigError):
        metrics.bayes_threshold(options.get("p_target", 0.01), options.get("c_miss", 1), options.get("c_fa", 1))
