"""Open-set identification, against tables worked by hand and a reference that follows the definitions word by word."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics import identification
from speaker_id.metrics.identification import Searches, cmc, dir_at_fpir, error_curve, fnir, fpir, join, searches

# Four in the gallery; three searches with a mate (columns 0, 1, 2), four without.
TABLE = np.array(
    [
        [0.9, 0.1, 0.2, 0.3],  # mate first, at 0.9
        [0.6, 0.5, 0.1, 0.4],  # mate second, at 0.5
        [0.7, 0.8, 0.3, 0.3],  # mate third or fourth: level with another, so fourth, at 0.3
        [0.65, 0.2, 0.1, 0.0],
        [0.1, 0.45, 0.2, 0.0],
        [0.1, 0.2, 0.25, 0.0],
        [0.0, 0.1, 0.2, 0.85],
    ]
)
MATES = [0, 1, 2, -1, -1, -1, -1]


def test_what_is_kept_of_a_search_is_its_mates_score_and_rank_or_else_its_best_score() -> None:
    answered = searches(TABLE, MATES)
    assert answered.mate_scores.tolist() == [0.9, 0.5, 0.3]
    assert answered.mate_ranks.tolist() == [1, 2, 4]
    assert answered.best_scores.tolist() == [0.65, 0.45, 0.25, 0.85]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(-1.0, 1.0), (0.25, 1.0), (0.26, 0.75), (0.65, 0.5), (0.85, 0.25), (0.86, 0.0)],
)
def test_fpir_counts_the_non_mated_searches_that_show_anybody(threshold: float, expected: float) -> None:
    assert fpir(searches(TABLE, MATES), threshold) == expected


@pytest.mark.parametrize(
    ("threshold", "rank", "expected"),
    [
        (-1.0, 1, 2 / 3),
        (-1.0, 2, 1 / 3),
        (-1.0, 3, 1 / 3),
        (-1.0, 4, 0.0),
        (0.5, 2, 1 / 3),
        (0.51, 2, 2 / 3),
        (1, 4, 1),
    ],
)
def test_fnir_counts_the_mates_that_are_low_in_score_or_in_rank(threshold: float, rank: int, expected: float) -> None:
    assert fnir(searches(TABLE, MATES), threshold, rank=rank) == pytest.approx(expected)


def test_cmc_is_the_part_found_by_rank() -> None:
    np.testing.assert_allclose(cmc(searches(TABLE, MATES), 5), [1 / 3, 2 / 3, 2 / 3, 1, 1])


@pytest.mark.parametrize(
    ("target", "rank", "expected"),
    [  # non-mated bests: .25 .45 .65 .85
        (0.0, 1, (1 / 3, 0.0, np.nextafter(0.85, 1))),
        (0.24, 1, (1 / 3, 0.0, np.nextafter(0.85, 1))),  # not one of four
        (0.25, 1, (1 / 3, 0.25, np.nextafter(0.65, 1))),
        (0.5, 2, (2 / 3, 0.5, np.nextafter(0.45, 1))),  # the second, at 0.5, is now shown
        (0.75, 4, (1.0, 0.75, np.nextafter(0.25, 1))),
        (1.0, 4, (1.0, 1.0, 0.25)),
    ],
)
def test_dir_at_fpir_by_hand(target: float, rank: int, expected: tuple[float, float, float]) -> None:
    assert dir_at_fpir(searches(TABLE, MATES), target, rank=rank) == pytest.approx(expected, abs=0)


def test_equal_bests_are_let_in_together_or_not_at_all() -> None:
    answered = Searches(np.array([0.5, 0.7]), np.array([1, 1]), np.array([0.5, 0.5, 0.5, 0.1]))
    assert dir_at_fpir(answered, 0.7) == (0.5, 0.0, np.nextafter(0.5, 1))
    assert dir_at_fpir(answered, 0.75) == (1.0, 0.75, np.nextafter(0.1, 1))


def test_a_rate_that_is_just_below_its_decimal_counts_as_the_decimal() -> None:
    answered = Searches(np.ones(1), np.ones(1, np.intp), np.arange(100) / 100)
    for count in range(101):
        assert dir_at_fpir(answered, count / 100).fpir == pytest.approx(count / 100)


def test_who_says_the_same_of_everybody_finds_nobody() -> None:
    answered = searches(np.zeros((5, 10)), [0, 3, 9, -1, -1])
    assert cmc(answered, 10).tolist() == [0.0] * 9 + [1.0]
    assert dir_at_fpir(answered, 0.5).dir == 0


tables = arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 7)), elements=st.integers(0, 5).map(float))


@st.composite
def problems(draw: Any) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Scores full of ties, and mates; the first search has one, the last has none."""
    table = draw(tables)
    mates = draw(arrays(np.intp, len(table), elements=st.integers(-1, table.shape[1] - 1)))
    mates[0], mates[-1] = max(0, mates[0]), -1
    return table, mates


def reference(table: NDArray[np.float64], mates: NDArray[np.intp], threshold: float, rank: int) -> tuple[float, float]:
    """fpir, fnir: the definitions, search by search."""
    alarms, misses = [], []
    for row, mate in zip(table, mates, strict=True):
        if mate < 0:
            alarms.append(any(score >= threshold for score in row))
            continue
        # Among equal scores the mate stands last.
        order = sorted(range(len(row)), key=lambda column: (-row[column], column == mate))
        shown = [column for column in order[:rank] if row[column] >= threshold]
        misses.append(mate not in shown)
    return float(np.mean(alarms)), float(np.mean(misses))


@given(problems(), st.integers(1, 8), st.integers(-1, 6))
def test_rates_agree_with_the_definitions(problem: Any, rank: int, threshold: int) -> None:
    answered = searches(*problem)
    expected = reference(*problem, threshold, rank)
    assert (fpir(answered, threshold), fnir(answered, threshold, rank=rank)) == pytest.approx(expected)
    thresholds, false_positive, false_negative = error_curve(answered, rank=rank)
    assert thresholds[-1] == np.inf
    for level, *rates in zip(thresholds, false_positive, false_negative, strict=True):
        assert tuple(rates) == pytest.approx(reference(*problem, level, rank))


@given(problems(), st.integers(1, 8), st.floats(0, 1))
def test_dir_at_fpir_is_the_best_that_any_threshold_allows(problem: Any, rank: int, target: float) -> None:
    answered = searches(*problem)
    found = dir_at_fpir(answered, target, rank=rank)
    rates = [reference(*problem, level, rank) for level in [*np.unique(problem[0]), np.inf]]
    assert found.dir == pytest.approx(max(1 - miss for alarm, miss in rates if alarm <= target))
    assert found.fpir <= target
    assert (found.fpir, 1 - found.dir) == pytest.approx(reference(*problem, found.threshold, rank))
    assert np.isfinite(found.threshold)


@given(problems())
def test_the_curves_rise_and_keep_their_order(problem: Any) -> None:
    answered = searches(*problem)
    rates = cmc(answered, problem[0].shape[1])
    assert (np.diff(rates) >= 0).all()
    assert rates[-1] == 1
    for target in (0.0, 0.3, 1.0):
        assert dir_at_fpir(answered, target).dir <= rates[0]
    _, false_positive, false_negative = error_curve(answered)
    assert (np.diff(false_positive) <= 0).all()
    assert (np.diff(false_negative) >= 0).all()
    assert (false_positive[-1], false_negative[-1]) == (0, 1)


@given(problems(), st.integers(0, 5))
def test_more_people_in_the_gallery_never_lower_fpir_nor_raise_rank_1(problem: Any, threshold: int) -> None:
    table, mates = problem
    mates = np.where(mates >= 0, 0, -1)  # everybody who has a mate has the first, who is in every gallery
    answers = [searches(table[:, :size], mates) for size in range(1, table.shape[1] + 1)]
    assert (np.diff([fpir(answered, threshold) for answered in answers]) >= 0).all()
    assert (np.diff([cmc(answered, 1)[0] for answered in answers]) <= 0).all()


@given(problems())
def test_a_rising_map_of_the_scores_changes_no_rate(problem: Any) -> None:
    plain, mapped = searches(*problem), searches(np.exp(problem[0]) - 3, problem[1])
    assert dir_at_fpir(plain, 0.2)[:2] == dir_at_fpir(mapped, 0.2)[:2]
    np.testing.assert_array_equal(cmc(plain, 4), cmc(mapped, 4))
    for ours, theirs in zip(error_curve(plain)[1:], error_curve(mapped)[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(problems(), st.data(), st.floats(0, 1))
def test_a_weight_is_a_number_of_repetitions(problem: Any, data: Any, target: float) -> None:
    table, mates = problem
    counts = data.draw(arrays(np.intp, len(mates), elements=st.integers(0, 3)))
    counts[0] = counts[-1] = 2
    repeated = searches(table.repeat(counts, axis=0), mates.repeat(counts))
    weighted = dir_at_fpir(
        searches(table, mates), target, mated_weights=counts[mates >= 0], nonmated_weights=counts[mates < 0]
    )
    assert weighted[:2] == pytest.approx(dir_at_fpir(repeated, target)[:2])


def test_independent_scores_give_the_fpir_of_n_comparisons() -> None:
    # FPIR(N) = 1 - (1 - FPR)^N, Grother & Ngan: here FPR = 0.01 and N = 50, 39.5 %.
    scores = np.random.default_rng(0).uniform(size=(20_000, 50)).astype(np.float32)
    assert fpir(searches(scores, np.full(20_000, -1)), 0.99) == pytest.approx(1 - 0.99**50, abs=0.01)


def test_blocks_of_a_table_join_to_the_whole() -> None:
    whole = searches(TABLE, MATES)
    for ours, theirs in zip(join([searches(TABLE[:2], MATES[:2]), searches(TABLE[2:], MATES[2:])]), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_float32_scores_stay_float32_and_are_compared_with_the_threshold_itself() -> None:
    table = np.array([[0.1], [0.7]], np.float32)
    answered = searches(table, [0, -1])
    assert answered.mate_scores.dtype == answered.best_scores.dtype == np.float32
    assert fpir(answered, 0.7) == 0  # float32(0.7) lies below 0.7
    assert fpir(answered, float(np.float32(0.7))) == 1


@pytest.mark.parametrize(
    ("table", "mates", "message"),
    [
        (np.zeros(3), [0, 0, 0], "table"),
        (np.zeros((2, 3)), [0], "got shapes"),
        (np.zeros((2, 0)), [-1, -1], "got shapes"),
        (np.zeros((1, 3)), [3], "columns 0 to 2, or -1"),
        (np.zeros((1, 3)), [-2], "columns 0 to 2, or -1"),
        (np.zeros((1, 3)), [0.5], "columns 0 to 2, or -1"),
        ([[0.0, 1.0], [np.nan, 1.0]], [0, 1], "search 1 has a score"),
        ([[0.0, np.inf]], [0], "search 0 has a score"),
    ],
)
def test_what_is_no_table_of_searches_is_refused(table: Any, mates: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        searches(table, mates)


def test_a_rate_without_its_kind_of_search_is_refused() -> None:
    mated, nonmated = searches(TABLE[:3], MATES[:3]), searches(TABLE[3:], MATES[3:])
    for call in (lambda: fpir(mated, 0), lambda: dir_at_fpir(mated, 0.1), lambda: error_curve(mated)):
        with pytest.raises(DataError, match="no non-mated searches"):
            call()
    for call in (lambda: fnir(nonmated), lambda: dir_at_fpir(nonmated, 0.1), lambda: cmc(nonmated, 1)):
        with pytest.raises(DataError, match="no mated searches"):
            call()


@pytest.mark.parametrize("target", [-0.1, 1.1, float("nan")])
def test_an_fpir_outside_0_to_1_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match="FPIR must lie in"):
        dir_at_fpir(searches(TABLE, MATES), target)


def test_rank_0_is_refused() -> None:
    with pytest.raises(ConfigError, match="counted from 1"):
        fnir(searches(TABLE, MATES), rank=0)
    assert identification.NON_MATED == -1
