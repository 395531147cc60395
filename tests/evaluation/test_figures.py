from typing import Any

import numpy as np
import pytest

from speaker_id import metrics
from speaker_id.contracts import OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.evaluation import figures
from speaker_id.evaluation.figures import HowToMeasure, measure
from speaker_id.evaluation.trial_rows import all_pairs
from speaker_id.report.evaluation import Figure, Trials

SPEAKERS = [name for name in ("ann", "bob", "cy", "dee", "eve") for _ in range(3)]


def trials(seed: int = 0) -> Trials:
    rows = all_pairs(SPEAKERS)
    scores = np.random.default_rng(seed).normal(size=len(rows.enrol)) + 2 * rows.is_target
    return Trials(rows.enrol, rows.test, scores.astype(np.float32), rows.is_target)


def measured(point: OperatingPoint | None = None, speakers: list[str] = SPEAKERS, **how: Any) -> dict[str, Figure]:
    options = HowToMeasure(**{"target_fpr": None, "num_draws": 30, "seed": 1, **how})
    return {figure.name: figure for figure in measure(trials(), speakers, point, options)}


def test_every_figure_is_that_of_the_metrics_with_its_interval() -> None:
    found = measured()
    assert {name: figure.value for name, figure in found.items()} == metrics.figures(*trials()[2:])
    for figure in found.values():
        assert figure.interval is not None
        assert figure.interval.low <= figure.interval.high
    assert found["eer"].interval.low < found["eer"].value < found["eer"].interval.high  # type: ignore[union-attr]


def test_intervals_are_drawn_by_seed() -> None:
    assert measured() == measured()
    assert measured()["eer"].interval != measured(seed=2)["eer"].interval


def test_there_are_none_without_draws_or_where_nobody_says_who_speaks() -> None:
    for found in (measured(num_draws=0), measured(speakers=[*SPEAKERS[:-1], ""])):
        assert all(figure.interval is None for figure in found.values())


def test_two_speakers_make_no_interval_as_every_draw_of_them_is_the_same() -> None:
    pairs = Trials(
        np.array([0, 0, 0, 1, 1, 2]),
        np.array([1, 2, 3, 2, 3, 3]),
        np.array([0.9, 0.1, 0.7, 0.3, 0.2, 0.6], np.float32),
        np.array([True, False, False, False, False, True]),
    )
    two = measure(pairs, ["a", "a", "b", "b"], None, HowToMeasure(None, 50, 0))
    assert {figure.interval for figure in two} == {None}
    pairs = pairs._replace(is_target=np.array([True, False, False, False, False, False]))
    three = measure(pairs, ["a", "a", "b", "c"], None, HowToMeasure(None, 50, 0))
    assert None not in {figure.interval for figure in three}


def test_a_threshold_that_was_chosen_elsewhere_is_tried_here() -> None:
    found = measured(OperatingPoint(1.0, "elsewhere"))
    rates = metrics.rates_at(*trials()[2:], 1.0)
    assert found["operating_tpr"].value == pytest.approx(rates.tpr)
    assert found["operating_fpr"].value == pytest.approx(rates.fpr)
    assert not {"act_dcf", "cllr"} & found.keys()


def test_a_calibrated_point_says_what_its_scores_are_worth() -> None:
    found = measured(OperatingPoint(1.0, "elsewhere", 2.0, -2.0))
    given = trials()
    assert found["act_dcf"].value == metrics.act_dcf(2 * given.scores - 2, given.is_target)
    assert found["cllr"].value == pytest.approx(metrics.cllr(2 * given.scores - 2, given.is_target), abs=1e-6)
    assert found["cllr"].interval is not None


def test_the_rates_at_a_wanted_false_accept_rate_come_with_their_threshold() -> None:
    found = measured(target_fpr=0.1)
    given = trials()
    at = metrics.rates_at(*given[2:], found["threshold_at_target_fpr"].value)
    assert found["tpr_at_target_fpr"].value == pytest.approx(at.tpr)
    assert at.fpr <= found["target_fpr"].value == 0.1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"target_fpr": 1.5}, "target_fpr=1.5"), ({"num_draws": -1}, "interval_draws=-1"), ({"seed": -1}, "seed=-1")],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        HowToMeasure(**{"target_fpr": None, "num_draws": 10, "seed": 1, **wrong}).checked()


def test_intervals_are_drawn_from_a_part_of_very_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 105 trials 15 are targets; all of them are kept, and as many of the others as there is room for."""
    whole = trials()
    monkeypatch.setattr(figures, "MAX_DRAWN", 60)
    few = figures.thinned(whole, np.random.default_rng(0))
    assert (few.is_target.sum(), len(few.scores)) == (15, 60)
    place = {pair: row for row, pair in enumerate(zip(whole.enrol.tolist(), whole.test.tolist(), strict=True))}
    rows = [place[pair] for pair in zip(few.enrol.tolist(), few.test.tolist(), strict=True)]
    assert len(set(rows)) == 60
    np.testing.assert_array_equal(few.scores, whole.scores[rows])
    np.testing.assert_array_equal(few.is_target, whole.is_target[rows])
    monkeypatch.setattr(figures, "MAX_DRAWN", 20)
    few = figures.thinned(whole, np.random.default_rng(0))
    assert (few.is_target.sum(), len(few.scores)) == (10, 20)
    assert measured()["eer"].value == metrics.eer(whole.scores, whole.is_target).eer  # figures are of all trials
