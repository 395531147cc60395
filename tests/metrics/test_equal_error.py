from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from llreval.pav_rocch import PAV, ROCCH
from scipy.stats import norm

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics


@pytest.mark.parametrize("flags", [[1] * 5 + [0] * 5, [0] * 5 + [1] * 5, [1, 0] * 5, [0] + [1] * 9])
def test_ten_equal_scores_give_one_half_whatever_the_order_of_the_labels(flags: list[int]) -> None:
    assert metrics.eer([0.25] * 10, flags) == (0.5, 0.25)
    assert metrics.rocch_eer([0.25] * 10, flags) == 0.5


def test_eer_worked_by_hand() -> None:
    # At 0.4 fpr = 2/4, fnr = 0/2; at 0.5 fpr = 1/4, fnr = 0/2; at 0.6 fpr = 1/4, fnr = 1/2: the line between the last
    # two meets fpr = fnr at 1/4, and both are equally far from it.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.eer(scores, flags) == (0.25, 0.5)
    # The hull goes from (fpr 1/4, fnr 0) straight to (0, 1/2) and meets fpr = fnr at 1/6.
    assert metrics.rocch_eer(scores, flags) == pytest.approx(1 / 6)


def test_separated_kinds_have_no_error_at_the_lowest_target_score() -> None:
    assert metrics.eer([3.0, 1.0, 2.0, 4.0], [1, 0, 0, 1]) == (0.0, 3.0)
    assert metrics.rocch_eer([3.0, 1.0, 2.0, 4.0], [1, 0, 0, 1]) == 0.0


def test_kinds_the_wrong_way_round_are_all_wrong() -> None:
    assert metrics.eer([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]).eer == 1.0
    assert metrics.rocch_eer([1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0]) == 0.5  # the hull may guess


def test_two_gaussians_two_deviations_apart_have_the_eer_of_theory() -> None:
    trials = gaussian_trials(2.0, 300_000, seed=2)
    assert metrics.eer(*trials).eer == pytest.approx(norm.cdf(-1), abs=2e-3)
    assert metrics.eer(*trials).threshold == pytest.approx(1.0, abs=2e-2)


@given(tied_trials())
def test_the_search_finds_the_crossing_of_the_full_list_of_operating_points(trials: Trials) -> None:
    thresholds, fpr, fnr = metrics.error_rates(*trials)
    after = int(np.flatnonzero(fnr >= fpr)[0])
    step = (fpr[after - 1] - fnr[after - 1]) / (fpr[after - 1] - fnr[after - 1] + fnr[after] - fpr[after])
    result = metrics.eer(*trials)
    assert result.eer == pytest.approx(fnr[after - 1] + step * (fnr[after] - fnr[after - 1]), abs=1e-12)
    at = int(np.flatnonzero(thresholds == np.float32(result.threshold))[0])
    assert abs(fpr - fnr)[at] == pytest.approx(abs(fpr - fnr).min(), abs=1e-12)
    assert np.isfinite(result.threshold)


@given(tied_trials())
def test_negated_scores_of_swapped_kinds_have_the_same_eer(trials: Trials) -> None:
    scores, flags = trials
    assert metrics.eer(-scores, ~flags).eer == pytest.approx(metrics.eer(scores, flags).eer, abs=1e-12)


@given(tied_trials())
def test_hull_eer_is_the_lowest_mixture_of_two_thresholds(trials: Trials) -> None:
    _, fpr, fnr = metrics.error_rates(*trials)
    lowest = min(np.maximum(fpr, fnr))
    for a, b in combinations(range(fpr.size), 2):
        gap_a, gap_b = fpr[a] - fnr[a], fnr[b] - fpr[b]
        if gap_a > 0 and gap_b > 0:
            lowest = min(lowest, fnr[a] + gap_a / (gap_a + gap_b) * (fnr[b] - fnr[a]))
    assert metrics.rocch_eer(*trials) == pytest.approx(lowest, abs=1e-12)
    assert metrics.rocch_eer(*trials) <= metrics.eer(*trials).eer + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_hull_eer_agrees_with_llreval(seed: int) -> None:
    scores, flags = gaussian_trials(1.0 + seed / 2, 2000, seed)
    scores = scores.round(2)
    assert metrics.rocch_eer(scores, flags) == pytest.approx(ROCCH(PAV(scores, flags.astype(int))).EER(), abs=1e-6)
