import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from speaker_id import metrics
from speaker_id.calibration import LogisticCalibration, fit_logistic
from speaker_id.errors import ConfigError, DataError


def two_gaussians(num: int, *, seed: int = 0, share: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Targets N(0.6, 0.15²), nontargets N(0.1, 0.15²)."""
    rng = np.random.default_rng(seed)
    is_target = rng.random(num) < share
    return rng.normal(np.where(is_target, 0.6, 0.1), 0.15), is_target


def overlapping(num: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_target = np.arange(num) % 3 == 0
    return rng.normal(size=(num, k)) + is_target[:, None] * rng.uniform(0, 2, size=k), is_target


@pytest.mark.parametrize("p_target", [0.5, 0.1, 0.01])
def test_the_affine_map_of_two_gaussians_is_found_at_any_prior(p_target: float) -> None:
    # Means 0.6 and 0.1, deviation 0.15: scale 0.5 / 0.0225, offset -(0.36 - 0.01) / (2 * 0.0225).
    scores, is_target = two_gaussians(200_000)
    calibration = fit_logistic(scores, is_target, p_target=p_target)
    assert calibration.weights[0] == pytest.approx(0.5 / 0.0225, rel=0.03)
    assert calibration.offset == pytest.approx(-0.35 / 0.045, rel=0.03)
    assert not calibration.separable


def test_two_scores_worked_by_hand_need_no_search() -> None:
    # Score 1 holds 3 of 4 targets and 1 of 4 nontargets, score 0 the rest: LLRs log(3) and -log(3), whatever the prior.
    scores, is_target = [1, 1, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0]
    for p_target in (0.01, 0.5, 0.9):
        calibration = fit_logistic(scores, is_target, p_target=p_target)
        np.testing.assert_allclose(calibration.llr([1, 0]), [np.log(3), -np.log(3)], rtol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 100), st.integers(1, 4), st.sampled_from([0.5, 0.05, 0.01]))
def test_weights_are_those_of_another_librarys_weighted_regression(seed: int, k: int, p_target: float) -> None:
    columns, is_target = overlapping(90, k, seed)
    share = np.where(is_target, p_target / is_target.sum(), (1 - p_target) / (~is_target).sum())
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(columns, is_target, sample_weight=1000 * share)
    ours = fit_logistic(columns, is_target, p_target=p_target)
    np.testing.assert_allclose(ours.weights, other.coef_[0], rtol=1e-3, atol=1e-3)
    assert ours.offset == pytest.approx(other.intercept_[0] - logit(p_target), rel=1e-3, abs=1e-3)


def test_calibration_brings_cllr_down_to_nearly_what_the_order_allows() -> None:
    scores, is_target = two_gaussians(20_000)
    others, others_are_target = two_gaussians(20_000, seed=1, share=0.4)
    llrs = fit_logistic(scores, is_target).llr(others)
    before, after = (metrics.cllr(values, others_are_target) for values in (others, llrs))
    assert after < before / 2
    assert after < metrics.min_cllr(others, others_are_target) + 0.02


def test_fusion_of_two_systems_is_better_than_either() -> None:
    rng = np.random.default_rng(2)
    is_target = np.arange(6000) % 5 == 0
    systems = is_target[:, None] * 2.0 + rng.normal(size=(6000, 2))
    fitted, held_out = slice(3000), slice(3000, None)
    costs = []
    for columns in (systems, systems[:, :1], systems[:, 1:]):
        fusion = fit_logistic(columns[fitted], is_target[fitted])
        costs.append(metrics.cllr(fusion.llr(columns[held_out]), is_target[held_out]))
    assert costs[0] < min(costs[1:]) - 0.1


@settings(max_examples=25)
@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.integers(0, 20))
def test_units_of_a_score_do_not_matter(scale: float, shift: float, seed: int) -> None:
    columns, is_target = overlapping(60, 2, seed)
    moved = columns * [scale, 1] + [shift * scale, 0]
    llrs = [fit_logistic(part, is_target).llr(part) for part in (columns, moved)]
    np.testing.assert_allclose(llrs[0], llrs[1], rtol=1e-3, atol=1e-3)


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 5), st.sampled_from([0.5, 0.01]))
def test_separable_scores_stay_finite_and_say_so(targets: int, nontargets: int, gap: float, p_target: float) -> None:
    scores = np.concatenate([np.linspace(gap, gap + 1, targets), -np.linspace(0.0, 1, nontargets)])
    is_target = np.arange(targets + nontargets) < targets
    if np.ptp(scores) == 0:
        return  # one of each at the same score: no map
    calibration = fit_logistic(scores, is_target, p_target=p_target)
    llrs = calibration.llr(scores)
    assert calibration.separable
    assert calibration.weights[0] > 0
    assert np.abs(llrs).max() < 200


@pytest.mark.parametrize("p_target", [0.5, 0.01])
@pytest.mark.parametrize(("targets", "nontargets"), [(1, 1), (10, 10), (5, 3000)])
def test_what_separable_scores_are_worth_grows_with_trials(targets: int, nontargets: int, p_target: float) -> None:
    """Rule of succession: among targets (n + 1) / (n + 2) score 1 and among nontargets 1 / (n + 2)."""
    is_target = np.arange(targets + nontargets) < targets
    llrs = fit_logistic(is_target.astype(float), is_target, p_target=p_target).llr([1, 0])
    expected = [(targets + 1) / (targets + 2) * (nontargets + 2), (nontargets + 2) / (targets + 2) / (nontargets + 1)]
    np.testing.assert_allclose(llrs, np.log(expected), atol=1e-4)


def test_columns_that_separate_only_together_are_recognised() -> None:
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(200, 2))
    is_target = columns.sum(axis=1) > 0
    calibration = fit_logistic(columns, is_target)
    assert calibration.separable
    assert np.isfinite([*calibration.weights, calibration.offset]).all()
    assert not fit_logistic(columns[:, :1], is_target).separable


def test_scores_upside_down_get_a_negative_weight() -> None:
    scores, is_target = two_gaussians(2000)
    assert fit_logistic(-scores, is_target).weights[0] < 0


def test_the_fit_is_where_the_cost_is_flat() -> None:
    columns, is_target = overlapping(300, 3, seed=5)
    calibration = fit_logistic(columns, is_target, p_target=0.05)
    posterior = expit(calibration.llr(columns) + logit(0.05))
    share = np.where(is_target, 0.05 / is_target.sum(), 0.95 / (~is_target).sum())
    slope = np.column_stack([columns, np.ones(300)]).T @ (share * (posterior - is_target))
    np.testing.assert_allclose(slope, 0, atol=1e-8)


def test_a_calibration_is_a_value() -> None:
    calibration = LogisticCalibration((2.0, 0.5), -1.0)
    np.testing.assert_allclose(calibration.llr([[1, 2], [0, 0]]), [2, -1])
    assert calibration == LogisticCalibration((2.0, 0.5), -1.0)
    with pytest.raises(DataError, match="takes 2 columns, got 1"):
        calibration.llr([1.0, 2.0])


@pytest.mark.parametrize(
    ("columns", "is_target", "what"),
    [
        ([0.1, 0.2], [1, 1], "all 2 trials are target trials"),
        ([0.1, 0.2], [0, 0], "all 2 trials are nontarget trials"),
        ([0.1, 0.2], [1], "2 trials need 2 labels"),
        ([0.1, 0.2], [1, 2], "labels must be"),
        ([0.1, np.nan], [1, 0], "trial 1 .*nan in column 0"),
        ([], [], "shape"),
        (np.zeros((2, 2, 2)), [1, 0], "shape"),
        ([[1, 3], [2, 3], [4, 3]], [1, 0, 1], "column 1 .*same in every trial"),
        ([[1, 3, 4], [2, 3, 5], [4, 7, 11], [5, 1, 6]], [1, 0, 1, 0], "repeat each other"),
    ],
)
def test_trials_that_cannot_calibrate_are_refused(columns: object, is_target: list[int], what: str) -> None:
    with pytest.raises(DataError, match=what):
        fit_logistic(columns, is_target)


@pytest.mark.parametrize("p_target", [0, 1, -0.1, 2])
def test_a_prior_that_makes_no_sense_is_refused(p_target: float) -> None:
    with pytest.raises(ConfigError, match="p_target"):
        fit_logistic([0.1, 0.2], [0, 1], p_target=p_target)
