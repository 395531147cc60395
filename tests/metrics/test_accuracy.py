import numpy as np
import pytest
from hypothesis import given
from scipy.stats import norm

from metrics.drawn_trials import Trials, gaussian_trials, tied_trials
from speaker_id import metrics


def test_best_accuracy_worked_by_hand() -> None:
    # At 0.5 one of six is wrong (0.6), at 0.9 another one (0.5 refused): the lower threshold wins the draw.
    scores, flags = [0.5, 0.9, 0.1, 0.2, 0.4, 0.6], [1, 1, 0, 0, 0, 0]
    assert metrics.accuracy_threshold(scores, flags) == (pytest.approx(5 / 6), 0.5)


def test_refusing_everybody_is_a_threshold_just_above_the_highest_score() -> None:
    found = metrics.accuracy_threshold(np.float32([0.1, 0.5, 0.6, 0.7]), [1, 0, 0, 0])
    assert found == (0.75, float(np.nextafter(np.float32(0.7), np.float32(1))))


@given(tied_trials())
def test_no_threshold_is_right_more_often(trials: Trials) -> None:
    scores, flags = trials
    found = metrics.accuracy_threshold(scores, flags)
    accuracies = [np.mean((scores >= threshold) == flags) for threshold in [*scores, np.inf]]
    assert found.accuracy == pytest.approx(max(accuracies))
    assert np.mean((scores >= np.float64(found.threshold)) == flags) == pytest.approx(found.accuracy)


def swept(scores: np.ndarray, flags: np.ndarray) -> tuple[float, float]:
    """The origin's sweep as its document describes it, spelled out."""
    best = (2.0, 0.0)
    for step in range(100):
        accepted = scores.astype(float) > step / 100
        error = np.mean(accepted[~flags]) + 1 - np.mean(accepted[flags])
        if error < best[0] - 1e-12:
            best = (error, step / 100)
    return best


@given(tied_trials())
def test_the_total_error_is_that_of_the_origins_sweep(trials: Trials) -> None:
    scores, flags = (trials[0] * 7 / 5).astype(np.float32), trials[1]  # -1 to 1 in steps of 0.2: on the grid
    assert metrics.min_total_error(scores, flags) == pytest.approx(swept(scores, flags))


def test_a_score_on_the_grid_is_not_above_it() -> None:
    assert metrics.min_total_error([0.5, 0.4], [1, 0]) == (0.0, 0.4)
    assert metrics.min_total_error([0.0, -0.1], [1, 0]) == (1.0, 0.0)  # 0 > 0 is false: all are refused
    assert metrics.min_total_error([0.995, 0.991], [1, 0]) == (1.0, 0.0)  # the grid ends at 0.99


def test_the_total_error_of_two_gaussians_is_twice_the_eer() -> None:
    scores, flags = gaussian_trials(2.0, 300_000, seed=6)
    found = metrics.min_total_error(scores / 10 + 0.3, flags)  # apart by 0.2, the crossing at 0.4
    assert found.total_error == pytest.approx(2 * norm.cdf(-1), abs=4e-3)
    assert found.threshold == pytest.approx(0.4, abs=0.03)
