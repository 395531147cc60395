import numpy as np
import pytest
from hypothesis import given
from llreval.cllr import cllr as their_cllr
from llreval.cllr import min_cllr as their_min_cllr
from llreval.pav_rocch import PAV
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics
from speaker_id.errors import ConfigError


def test_saying_nothing_costs_one_bit() -> None:
    assert metrics.cllr([0.0] * 5, [1, 0, 0, 0, 1]) == pytest.approx(1.0)
    assert metrics.min_cllr([0.3] * 5, [1, 0, 0, 0, 1]) == pytest.approx(1.0)


def test_cllr_worked_by_hand() -> None:
    # Odds 3 for a target and 1/3 for another: log2(4/3) and log2(4); odds 1/7 for the nontarget: log2(8/7).
    scores, flags = np.log([3, 1 / 3, 1 / 7]), [1, 1, 0]
    expected = ((np.log2(4 / 3) + np.log2(4)) / 2 + np.log2(8 / 7)) / 2
    assert metrics.cllr(scores, flags) == pytest.approx(expected)


def test_min_cllr_worked_by_hand() -> None:
    # Rising: n, t, n, t. The middle two must be pooled, odds 1 in a pool with half of each kind: (1/2 + 1/2) / 2 bits.
    assert metrics.min_cllr([1, 2, 3, 4], [0, 1, 0, 1]) == pytest.approx(0.5)


def test_separated_kinds_can_be_calibrated_to_nothing_and_swapped_ones_only_to_silence() -> None:
    assert metrics.min_cllr([3.0, 1.0, 2.0, 4.0], [1, 0, 0, 1]) == 0.0
    assert metrics.min_cllr([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]) == pytest.approx(1.0)


def test_ratios_of_thousands_neither_overflow_nor_lose_the_cost() -> None:
    assert metrics.cllr([-2000.0, 2000.0], [1, 0]) == pytest.approx(2000 / np.log(2))
    assert metrics.cllr([2000.0, -2000.0], [1, 0]) == 0.0


@given(tied_trials())
def test_both_agree_with_llreval(trials: Trials) -> None:
    scores, flags = trials[0].astype(float), trials[1]
    assert metrics.cllr(scores, flags) == pytest.approx(their_cllr(scores[flags], scores[~flags]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 6])
def test_min_cllr_agrees_with_llreval(seed: int, digits: int) -> None:
    scores, flags = gaussian_trials(1.0 + seed / 2, 2000, seed)
    scores = scores.round(6) + np.arange(scores.size) * 1e-9 if digits == 6 else scores.round(6)
    assert metrics.min_cllr(scores, flags) == pytest.approx(their_min_cllr(PAV(scores, flags.astype(int))), abs=1e-9)


@given(tied_trials())
def test_min_cllr_is_the_loss_of_scikit_learns_isotonic_regression(trials: Trials) -> None:
    scores, flags = trials
    weights = np.where(flags, 1 / flags.sum(), 1 / (~flags).sum())
    fitted = IsotonicRegression(y_min=0, y_max=1).fit(scores, flags, sample_weight=weights).predict(scores)
    wrong = np.where(flags, 1 - fitted, fitted)
    assert metrics.min_cllr(scores, flags) == pytest.approx(-(weights * np.log2(1 - wrong)).sum() / 2, abs=1e-6)


@given(tied_trials())
def test_the_best_calibration_is_never_worse_and_rising_maps_do_not_move_it(trials: Trials) -> None:
    scores, flags = trials
    lowest = metrics.min_cllr(scores, flags)
    assert 0 <= lowest <= 1 + 1e-12
    assert lowest <= metrics.cllr(scores, flags) + 1e-12
    assert lowest == metrics.min_cllr(np.exp(3 * scores) - 10, flags)


def test_true_ratios_of_two_gaussians_cost_what_theory_says() -> None:
    scores, flags = gaussian_trials(2.0, 400_000, seed=4)
    theory = quad(lambda x: norm.pdf(x, 2) * np.log2(1 + np.exp(2 - 2 * x)), -10, 14)[0]  # both kinds by symmetry
    assert metrics.cllr(2 * scores - 2, flags) == pytest.approx(theory, abs=3e-3)
    assert metrics.min_cllr(scores, flags) == pytest.approx(theory, abs=3e-3)


def test_cllr_is_scikit_learns_log_loss_with_both_kinds_alike() -> None:
    llrs, flags = gaussian_trials(1.0, 1000, seed=5)
    weights = np.where(flags, 1 / flags.sum(), 1 / (~flags).sum())
    theirs = log_loss(flags, 1 / (1 + np.exp(-llrs)), sample_weight=weights) / np.log(2)
    assert metrics.cllr(llrs, flags) == pytest.approx(theirs)


@pytest.mark.parametrize("llr", [(0.0, 1.0), (-2.0, 0.0), (np.inf, 0.0), (1.0, np.nan)])
def test_a_map_that_does_not_rise_is_refused(llr: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="must rise"):
        metrics.figures([0.1, 0.2], [0, 1], llr=llr)
