import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.contracts import Match, OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.inference.decision import (
    check_prior,
    comparison,
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
