import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from speaker_id.calibration import fpr_upper_bound, speaker_pairs, supported_fpr
from speaker_id.errors import ConfigError, DataError


def test_thirty_false_accepts_must_be_expected() -> None:
    assert supported_fpr(30_000, 0.001) == (True, 30_000, 0, 0.001)
    assert supported_fpr(29_999, 0.001)[:3] == (False, 30_000, 1)
    assert supported_fpr(451, 0.001).missing == 29_549
    assert supported_fpr(3000, 0.001).lowest_fpr == pytest.approx(0.01)
    assert supported_fpr(0, 0.5) == (False, 60, 60, np.inf)


@given(st.integers(1, 7), st.integers(1, 9))
def test_round_rates_need_round_numbers(exponent: int, digit: int) -> None:
    assert supported_fpr(1, digit * 10**-exponent).required == -(-30 * 10**exponent // digit)


@given(st.integers(1, 10**7))
def test_the_lowest_rate_that_is_said_to_be_supported_is(num: int) -> None:
    lowest = supported_fpr(num, 0.5).lowest_fpr
    if lowest < 1:
        assert supported_fpr(num, lowest).supported
        assert not supported_fpr(num - 1, lowest * 0.999).supported


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5])
def test_rates_outside_of_zero_to_one_are_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="target_fpr"):
        supported_fpr(100, rate)
    with pytest.raises(ConfigError, match="confidence"):
        fpr_upper_bound(1, 10, confidence=rate)


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="-1"):
        supported_fpr(-1, 0.1)
    for false_accepts, num in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(DataError, match=f"{false_accepts} false accepts of {num}"):
            fpr_upper_bound(false_accepts, num)


def test_nothing_seen_in_three_thousand_trials_bounds_the_rate_by_a_thousandth() -> None:
    # (1 - p)^n = 0.05, the "rule of three": p is about 3 / n.
    assert fpr_upper_bound(0, 3000) == pytest.approx(1 - 0.05 ** (1 / 3000), rel=1e-9)
    assert fpr_upper_bound(5, 5) == 1.0


@given(st.integers(1, 400), st.data())
def test_at_the_bound_so_few_errors_are_seen_once_in_twenty_times(num: int, data: st.DataObject) -> None:
    false_accepts = data.draw(st.integers(0, num - 1))
    bound = fpr_upper_bound(false_accepts, num)
    assert false_accepts / num < bound < 1
    assert binom.cdf(false_accepts, num, bound) == pytest.approx(0.05, rel=1e-6)


def test_pairs_of_people_are_counted_once_whoever_is_enrolled() -> None:
    assert speaker_pairs(["a", "b", "a", "a", "c"], ["b", "a", "b", "a", "a"]) == 2
    assert speaker_pairs([3, 3], [3, 3]) == 0
    assert speaker_pairs([], []) == 0


def test_all_pairs_of_n_people_are_n_times_n_minus_one_halves() -> None:
    enrol, test = np.divmod(np.arange(900), 30)
    assert speaker_pairs(enrol % 10, test % 10) == 45
