import pytest

from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Figure
from speaker_id.report.words import (
    at_most,
    duration,
    interval_text,
    number,
    out_of,
    percent,
    plural,
    value_of,
    words_of,
)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0493, "4.93 %"), (0.5, "50.00 %"), (0.0, "0 %"), (1.0, "100 %"), (0.001, "0.10 %"), (0.00043, "0.043 %"),
        (0.0000012, "0.00012 %"), (0.99996, "99.9960 %"),
    ],
)  # fmt: skip
def test_rates_are_told_in_per_cent_with_digits_that_say_something(rate: float, words: str) -> None:
    assert percent(rate).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0493, "49 of 1000"),
        (0.0004, "4 of 10,000"),
        (0.0, "0 of 1000"),
        (1, "1000 of 1000"),
        (1e-9, "0 of 1,000,000"),
    ],
)
def test_rates_are_counted_out_of_enough_attempts_to_see_one(rate: float, words: str) -> None:
    assert str(out_of(rate)) == words


@pytest.mark.parametrize(("num", "rate"), [(59, 0.0495), (299, 0.00997), (1, 0.95)])
def test_no_error_in_so_many_trials_leaves_room_for_a_rate(num: int, rate: float) -> None:
    assert at_most(num) == pytest.approx(rate, rel=0.01)
    assert (1 - at_most(num)) ** num == pytest.approx(0.05)


def test_rates_and_numbers_are_printed_as_what_they_are() -> None:
    assert value_of(Figure("eer", 0.05, None)) == "5.00\u202f%"
    assert value_of(Figure("threshold", 0.05, None)) == "0.0500"
    assert interval_text(Interval(0.04, 0.06), "min_dcf") == "0.0400 to 0.0600"
    assert interval_text(Interval(0.04, 0.06), "tpr") == "4.00\u202f% to 6.00\u202f%"
    assert interval_text(None) == ""
    assert number(float("inf")) == "none"


def test_a_figure_without_words_goes_by_its_name() -> None:
    assert words_of("new_figure") == ("new figure", "number", "")


@pytest.mark.parametrize(
    ("hours", "words"), [(2.25, "2.2 hours"), (0.5, "30 minutes"), (0.005, "18 seconds"), (1.0, "1.0 hours")]
)
def test_durations_are_told_in_the_unit_that_fits(hours: float, words: str) -> None:
    assert duration(hours) == words


def test_one_is_not_many() -> None:
    assert [plural(num, "speaker") for num in (0, 1, 1234)] == ["0 speakers", "1 speaker", "1,234 speakers"]
