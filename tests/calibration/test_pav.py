import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id import metrics
from speaker_id.calibration import pav
from speaker_id.errors import DataError

TRIALS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60).filter(
    lambda trials: len({flag for _, flag in trials}) == 2
)


def slow_pools(scores: np.ndarray, is_target: np.ndarray) -> dict[float, float]:
    """Share of targets per score: start with each score alone, and pool neighbours for as long as shares fall."""
    pools = [[[score], is_target[scores == score].tolist()] for score in np.unique(scores)]
    i = 0
    while i + 1 < len(pools):
        if np.mean(pools[i][1]) >= np.mean(pools[i + 1][1]):
            pools[i : i + 2] = [[pools[i][0] + pools[i + 1][0], pools[i][1] + pools[i + 1][1]]]
            i = max(0, i - 1)
        else:
            i += 1
    return {score: float(np.mean(flags)) for members, flags in pools for score in members}


def test_pools_worked_by_hand() -> None:
    # Scores 2 and 3 are the wrong way round and share 1 target of 2; the numbers of trials are 2 targets and 3 others.
    result = pav([3, 1, 2, 4, 0], [False, False, True, True, False])
    assert result.scores.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(result.llrs, [-np.inf, -np.inf, np.log(3 / 2), np.log(3 / 2), np.inf])


def test_equal_scores_share_one_value() -> None:
    result = pav([1, 1, 1, 0], [True, True, False, False])
    assert result.scores.tolist() == [0, 1]
    np.testing.assert_allclose(result.llrs, [-np.inf, np.log(2)])


@given(TRIALS)
def test_values_are_those_of_a_slow_reference_and_rise(trials: list[tuple[int, bool]]) -> None:
    scores, is_target = np.array([score for score, _ in trials]), np.array([flag for _, flag in trials])
    result = pav(scores, is_target)
    shares = np.array([slow_pools(scores, is_target)[score] for score in result.scores])
    with np.errstate(divide="ignore"):
        expected = np.log(shares) - np.log(1 - shares) - np.log(is_target.sum() / (~is_target).sum())
    np.testing.assert_allclose(result.llrs, expected, atol=1e-9)
    assert (result.llrs[1:] >= result.llrs[:-1]).all()


def test_its_llrs_cost_what_no_rising_map_can_undercut() -> None:
    rng = np.random.default_rng(0)
    is_target = np.arange(2000) % 4 == 0
    scores = rng.normal(size=2000) + is_target
    result = pav(scores, is_target)
    llrs = np.clip(result.llrs, -50, 50)[np.searchsorted(result.scores, scores)]
    assert metrics.cllr(llrs, is_target) == pytest.approx(metrics.min_cllr(scores, is_target), abs=1e-9)


def test_llrs_of_two_gaussians_lie_on_their_line() -> None:
    rng = np.random.default_rng(1)
    is_target = np.arange(200_000) % 10 == 0
    scores = rng.normal(size=is_target.size) + 2.0 * is_target  # LLR = 2 score - 2
    result = pav(scores, is_target)
    inside = (result.scores > 0) & (result.scores < 2)
    np.testing.assert_allclose(result.llrs[inside], 2 * result.scores[inside] - 2, atol=0.4)


@pytest.mark.parametrize(("scores", "is_target"), [([0.1, 0.2], [1, 1]), ([[1, 2], [3, 4]], [1, 0]), ([1.0], [1, 0])])
def test_what_is_no_list_of_both_kinds_is_refused(scores: object, is_target: list[int]) -> None:
    with pytest.raises(DataError):
        pav(scores, is_target)
