import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.contracts import Match, OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.inference.decision import (
    check_margin,
    check_prior,
    comparison,
    for_gallery_size,
    identification,
    llr_of,
    moved,
    probability_of,
    source_of,
)

PLAIN = OperatingPoint(0.5, "by hand")
CALIBRATED = PLAIN._replace(llr_scale=10.0, llr_offset=-4.0, target_fpr=0.01, num_nontargets=1000)


def test_a_log_likelihood_ratio_lies_on_the_calibrations_line() -> None:
    assert llr_of(0.6, CALIBRATED) == pytest.approx(2.0)  # 10 * 0.6 - 4
    assert llr_of(0.6, PLAIN) is None


@pytest.mark.parametrize(
    ("llr", "prior", "probability"),
    [
        (0.0, 0.3, 0.3),  # evidence for neither side moves nobody
        (math.log(9), 0.5, 0.9),  # even odds times 9: 9 to 1
        (math.log(9), 0.1, 0.5),  # 1 to 9 times 9: even
        (-math.log(99), 0.5, 0.01),
        (2000.0, 0.5, 1.0),
        (-2000.0, 0.5, 0.0),
    ],
)
def test_a_probability_is_prior_odds_times_likelihood_ratio(llr: float, prior: float, probability: float) -> None:
    assert probability_of(llr, prior) == pytest.approx(probability)


def test_without_calibration_there_is_no_probability() -> None:
    assert probability_of(None, 0.5) is None


@given(llr=st.floats(-30, 30), prior=st.floats(0.001, 0.999))
def test_swapping_the_hypotheses_gives_the_rest_of_certainty(llr: float, prior: float) -> None:
    same, different = probability_of(llr, prior), probability_of(-llr, 1 - prior)
    assert same is not None
    assert different is not None
    assert same + different == pytest.approx(1)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_a_prior_that_leaves_no_doubt_or_is_none_is_refused(prior: float) -> None:
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        check_prior(prior)


def test_only_a_calibrated_source_stands_alone() -> None:
    assert source_of(CALIBRATED) == "by hand"
    assert source_of(PLAIN) == "uncalibrated: by hand"
    assert source_of(PLAIN._replace(llr_scale=10.0)) == "uncalibrated: by hand"


def test_a_moved_threshold_promises_nothing_but_a_score_is_worth_what_it_was() -> None:
    point = moved(CALIBRATED, 0.7, "given")
    assert point == OperatingPoint(0.7, "given", llr_scale=10.0, llr_offset=-4.0)
    assert not moved(None, 0.7, "given").calibrated


def test_the_prior_moves_the_probability_and_never_the_decision() -> None:
    rare, likely = (comparison(0.6, CALIBRATED, prior) for prior in (0.001, 0.999))
    assert (rare.accepted, likely.accepted) == (True, True)
    assert (rare.llr, rare.threshold) == (likely.llr, likely.threshold)
    assert rare.probability == pytest.approx(0.0073425, abs=1e-6)  # e^2 / 999 = 0.0073965 to 1
    assert likely.probability == pytest.approx(0.99986468, abs=1e-6)  # 999 e^2 = 7381.7 to 1


def test_a_comparison_says_how_score_and_threshold_lie() -> None:
    assert comparison(0.61234, PLAIN, 0.5).reason == "score 0.6123 >= threshold 0.5000"
    assert comparison(-0.2, PLAIN, 0.5).reason == "score -0.2000 < threshold 0.5000"


def test_an_identification_carries_what_the_best_score_is_worth() -> None:
    found = identification([Match("Ada", 0.6), Match("Bob", 0.1)], CALIBRATED, 0.5, limit=1)
    assert (found.user, found.calibrated, found.prior) == ("Ada", True, 0.5)
    assert found.llr == pytest.approx(2.0)
    assert found.probability == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert found.margin == pytest.approx(0.5)
    assert found.candidates == (Match("Ada", 0.6),)


def test_where_nobody_is_enrolled_there_is_nothing_to_weigh() -> None:
    found = identification([], CALIBRATED, 0.5, limit=5)
    assert (found.user, found.score, found.llr, found.probability) == (None, None, None, None)
    assert found.calibrated is True
    assert found.reason == "nobody is enrolled"


# How many users there are


def test_a_gaussian_stranger_reaches_the_raised_threshold_as_many_times_less_often_as_there_are_users() -> None:
    """Calibrated llr with means -8 and 8 have the deviation 4. 1 % of strangers reach -8 + 4 * 2.3263 = 1.3054."""
    point = OperatingPoint(0.0, "by hand", llr_scale=10.0, llr_offset=1.305391, target_fpr=0.01)
    strangers = NormalDist(-8, 4)
    assert 1 - strangers.cdf(1.305391) == pytest.approx(0.01, rel=1e-5)
    raised = for_gallery_size(point, 100)
    llr = llr_of(raised.threshold, raised)
    assert llr == pytest.approx(6.876066, abs=1e-4)  # -8 + 4 * 3.719016
    assert llr is not None
    for_one = 1 - strangers.cdf(llr)
    assert for_one == pytest.approx(1e-4, rel=1e-3)
    assert 1 - (1 - for_one) ** 100 <= 0.01
    assert raised.source == "by hand; raised by 0.5571 because a stranger is compared with 100 users"


@pytest.mark.parametrize(("num_users", "alike"), [(1, 0.0), (10, 0.0), (100, 0.0), (100, 0.5)])
def test_simulated_strangers_are_named_no_more_often_than_promised(num_users: int, alike: float) -> None:
    """Scores as above, with every stranger; `alike` is how much of their spread all users share for one stranger."""
    point = OperatingPoint(0.0, "by hand", llr_scale=10.0, llr_offset=1.305391, target_fpr=0.01)
    rng, num = np.random.default_rng(0), 40_000
    common, own = rng.standard_normal((num, 1)), rng.standard_normal((num, num_users), dtype=np.float32)
    llr = -8 + 4 * (math.sqrt(alike) * common + math.sqrt(1 - alike) * own)
    limit = llr_of(for_gallery_size(point, num_users).threshold, point)
    named = float((llr.max(axis=1) >= limit).mean())
    deviation = math.sqrt(0.01 * 0.99 / num)
    assert named <= 0.01 + 4 * deviation
    assert alike or named >= 0.01 - 4 * deviation - 0.00005  # and no less often either; 1 - 0.9999^100 = 0.00995


def test_the_rise_stops_where_any_calibrated_score_is_rare_enough() -> None:
    point = OperatingPoint(1.0, "by hand", llr_scale=10.0, llr_offset=0.0, target_fpr=0.01)  # llr 10: stricter than 1 %
    assert llr_of(for_gallery_size(point, 1000).threshold, point) == pytest.approx(math.log(1000 / 0.01))
    stricter = point._replace(threshold=2.0)  # llr 20 already is beyond
    assert for_gallery_size(stricter, 1000).threshold == 2.0


def test_without_a_rate_the_threshold_rises_by_the_logarithm_of_the_users() -> None:
    point = OperatingPoint(0.5, "by hand", llr_scale=10.0, llr_offset=-4.0)
    assert for_gallery_size(point, 100).threshold == pytest.approx(0.5 + math.log(100) / 10)
    asked = identification([Match("Ada", 0.6)], point, 0.5, 5, num_users=100, gallery_size_rule=True)
    assert asked.user is None
    unasked = identification([Match("Ada", 0.6)], point, 0.5, 5, num_users=100)
    assert (unasked.user, unasked.threshold) == ("Ada", 0.5)


@given(
    threshold=st.floats(-0.5, 1), fpr=st.sampled_from([0.1, 0.01, 0.001]), few=st.integers(1, 9), more=st.integers(1, 9)
)
def test_more_users_never_lower_the_threshold(threshold: float, fpr: float, few: int, more: int) -> None:
    point = CALIBRATED._replace(threshold=threshold, target_fpr=fpr)
    one, two = for_gallery_size(point, few).threshold, for_gallery_size(point, few * more).threshold
    assert threshold <= one <= two + 1e-12


@pytest.mark.parametrize("point", [PLAIN, CALIBRATED._replace(llr_scale=0.0), CALIBRATED._replace(llr_scale=-1.0)])
def test_a_score_of_unknown_worth_cannot_be_raised(point: OperatingPoint) -> None:
    with pytest.raises(ConfigError, match=r"speaker_id\.calibrate"):
        for_gallery_size(point, 10)


# Three kinds of nobody


@pytest.mark.parametrize(
    ("scores", "margin", "user", "reason"),
    [
        ([], 0.1, None, "nobody is enrolled"),
        ([0.4, 0.39], 0.1, None, "best score 0.400 is below the threshold 0.500"),
        ([0.75, 0.7], 0.1, None, "two users are too close: A 0.750 and B 0.700, a margin of 0.1 is asked for"),
        ([0.75, 0.5], 0.25, "A", "accepted"),
        ([0.75, 0.75], None, "A", "accepted"),
        ([0.75], 2.0, "A", "accepted"),
    ],
)
def test_the_reason_tells_why_nobody_is_named(
    scores: list[float], margin: float | None, user: str | None, reason: str
) -> None:
    matches = [Match(name, score) for name, score in zip("AB", scores, strict=False)]
    found = identification(matches, PLAIN, 0.5, 5, min_margin=margin)
    assert (found.user, found.reason) == (user, reason)


@pytest.mark.parametrize("margin", [-0.1, 2.1, math.nan])
def test_a_margin_no_two_scores_can_have_is_refused(margin: float) -> None:
    with pytest.raises(ConfigError, match="min_margin is"):
        check_margin(margin)
