import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from speaker_id.metrics import Interval
from speaker_id.report.charts import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Chart, named, round_ticks, tag
from speaker_id.report.drawings import ratio_name, times
from speaker_id.report.pictograms import map_style, waffle, whisker


def test_what_a_tag_is_given_as_text_stays_text() -> None:
    element = ElementTree.fromstring(tag("text", "<b>&", data_tip='"><script>', class_="a"))
    assert element.text == "<b>&"
    assert element.attrib == {"data-tip": '"><script>', "class": "a"}
    assert tag("g", tag("path", d="M0 0")) == '<g><path d="M0 0"/></g>'


def test_an_axis_is_straight_in_its_own_scale_and_ends_at_its_borders() -> None:
    axis = Axis(0.01, 0.99, [], "", ndtri)
    np.testing.assert_allclose(axis.share([0.01, 0.5, 0.99]), [0, 0.5, 1])
    np.testing.assert_allclose(axis.share([0.0, 1.0]), [0, 1])


def test_low_values_lie_left_and_below() -> None:
    chart = Chart(Axis(0, 1, [], ""), Axis(0, 1, [], ""))
    (low, high) = chart.place([0, 1], [0, 1])
    assert low == (LEFT, HEIGHT - 48)
    assert high == (WIDTH - RIGHT, TOP)


def test_a_chart_is_well_formed_and_says_what_it_shows() -> None:
    chart = Chart(Axis(0, 1, named([0, 0.5]), "x"), Axis(0, 1, named([0, 1]), "y"))
    chart.line([], [], "curve")  # nothing to draw is no broken path
    chart.line([0, 1], [1, 0], "curve")
    chart.mark(0.5, 0.5, "mark", "<i>")
    drawn = ElementTree.fromstring(chart.svg("A curve."))
    assert drawn.attrib["aria-label"] == "A curve."
    assert [text.text for text in drawn.iter("text")] == ["0", "0.5", "0", "1", "x", "y"]
    assert all(path.attrib["d"] != "M" for path in drawn.iter("path"))


@given(st.floats(-1000, 1000), st.floats(1e-3, 1000))
def test_ticks_are_round_few_and_inside(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert f"{steps[0]:.6e}"[0] in "125" or f"{steps[0]:.6e}".startswith(("1.9", "4.9", "9.9"))


@pytest.mark.parametrize(("rate", "squares"), [(0.049, 49), (0, 0), (1, 1000), (0.0004, 0)])
def test_a_waffle_colours_as_many_of_a_thousand_squares(rate: float, squares: int) -> None:
    drawn = {path.attrib["class"]: path.attrib["d"] for path in ElementTree.fromstring(waffle(rate, "target", "x"))}
    assert drawn.get("wrong target", "").count("M") == squares
    assert sum(squares.count("M") for squares in drawn.values()) == 1000


def test_a_whisker_spans_its_interval() -> None:
    drawn = whisker(0.1, Interval(0.05, 0.2), highest=0.2, overall=0.1)
    assert "M47.5 10H175.0" in drawn
    assert 'cx="90.0"' in drawn
    assert "whisker" not in whisker(0.1, None, highest=0.2, overall=0.1)


def test_speakers_of_a_map_differ_in_colour_or_shape() -> None:
    assert len({map_style(index) for index in range(18)}) == 18


@pytest.mark.parametrize(
    ("power", "words"), [(0, "even"), (2, "×100"), (-1, "÷10"), (4, "×10k"), (-6, "÷1M"), (3, "×1k")]
)
def test_powers_of_ten_are_named_as_factors(power: int, words: str) -> None:
    assert ratio_name(power) == words


def test_a_likelihood_ratio_is_told_for_the_side_it_speaks_for() -> None:
    assert times(2) == "100 times likelier the same speaker"
    assert times(-np.log10(2)) == "2.0 times likelier two speakers"
    assert re.match(r"1,000 times", times(3))
