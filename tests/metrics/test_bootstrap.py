import numpy as np
import pytest

from metrics.drawn_trials import repeated, speaker_trials
from speaker_id import metrics
from speaker_id.errors import ConfigError, DataError

OPTIONS = {"llr": (5.0, 10.0), "threshold": -1.0}


def test_a_draw_equals_the_eer_of_the_drawn_speakers_written_out() -> None:
    trials = speaker_trials(6, 3, seed=3)
    seed = 11
    interval = metrics.eer_interval(*trials, rng=np.random.default_rng(seed), num_draws=1)
    drawn = np.random.default_rng(seed).integers(6, size=6)
    assert len(set(drawn)) < 6
    expected = metrics.eer(*repeated(trials, drawn)).eer
    assert interval == pytest.approx((expected, expected), abs=1e-12)


def test_the_interval_encloses_the_eer_and_narrows_with_more_speakers() -> None:
    widths = []
    for num_speakers in (10, 40):
        trials = speaker_trials(num_speakers, 5, seed=4)
        low, high = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=200)
        assert low < metrics.eer(*trials[:2]).eer < high
        widths.append(high - low)
    assert widths[1] < 0.7 * widths[0]


def test_two_speakers_drawn_as_one_are_drawn_again() -> None:
    trials = speaker_trials(2, 3, seed=6)
    low, high = metrics.eer_interval(*trials, rng=np.random.default_rng(0), num_draws=20)
    assert low == high == pytest.approx(metrics.eer(*trials[:2]).eer)  # the only usable draw is both, once each


def test_names_serve_as_speakers() -> None:
    scores, flags, enrol, test = speaker_trials(4, 3, seed=7)
    names = np.array(["ann", "bob", "cem", "dov"])
    by_name = metrics.eer_interval(scores, flags, names[enrol], names[test], rng=np.random.default_rng(0), num_draws=9)
    assert by_name == metrics.eer_interval(scores, flags, enrol, test, rng=np.random.default_rng(0), num_draws=9)


def test_labels_that_contradict_the_speakers_are_refused() -> None:
    with pytest.raises(DataError, match="trial 1 is labelled nontarget, but its speakers are b and b"):
        metrics.eer_interval([0.1, 0.2], [1, 0], ["a", "b"], ["a", "b"], rng=np.random.default_rng(0))


def test_missing_speakers_are_refused() -> None:
    with pytest.raises(DataError, match="2 trials need as many speakers"):
        metrics.eer_interval([0.1, 0.2], [1, 0], ["a"], ["a", "b"], rng=np.random.default_rng(0))


def test_every_figure_of_a_draw_equals_that_of_the_drawn_speakers_written_out() -> None:
    trials = speaker_trials(7, 4, seed=3)
    kept = np.random.default_rng(0).random(trials[0].size) < 0.7  # some speakers have more trials than others
    trials = (trials[0][kept].round(1), *(column[kept] for column in trials[1:]))  # with ties
    at_eer = metrics.eer(*trials[:2]).threshold
    for seed in range(8):
        found = metrics.intervals(*trials, rng=np.random.default_rng(seed), num_draws=1, **OPTIONS)
        drawn = np.random.default_rng(seed).integers(7, size=7)
        written_out = repeated(trials, drawn)
        rates = metrics.rates_at(*written_out, at_eer)  # the threshold stays when other people come
        _, fpr, fnr = metrics.error_rates(*written_out)
        share = trials[1].mean()  # of targets; that of the draw is another
        expected = metrics.figures(*written_out, **OPTIONS) | {"tpr": rates.tpr, "fpr": rates.fpr}
        expected["accuracy"] = 1 - min(share * fnr + (1 - share) * fpr)
        assert found.keys() == expected.keys()
        for name in found.keys() - {"threshold", "accuracy_threshold"}:
            assert found[name] == pytest.approx((expected[name],) * 2, abs=1e-12), name
        at = metrics.rates_at(*written_out, found["threshold"].low)  # may be a score of somebody who was not drawn
        assert at == pytest.approx(metrics.rates_at(*written_out, expected["threshold"]))
        at = metrics.rates_at(*written_out, found["accuracy_threshold"].low)
        assert 1 - share * at.fnr - (1 - share) * at.fpr == pytest.approx(expected["accuracy"])


def test_the_eer_has_the_same_interval_alone_as_among_all_figures() -> None:
    trials = speaker_trials(15, 4, seed=8)
    alone = metrics.eer_interval(*trials, rng=np.random.default_rng(5), num_draws=100)
    assert alone == metrics.intervals(*trials, rng=np.random.default_rng(5), num_draws=100, **OPTIONS)["eer"]


def test_intervals_enclose_their_figures() -> None:
    trials = speaker_trials(30, 4, seed=9)
    values = metrics.figures(*trials[:2], **OPTIONS)
    found = metrics.intervals(*trials, rng=np.random.default_rng(0), num_draws=200, **OPTIONS)
    for name in values.keys() - {"accuracy_threshold", "min_total_error"}:  # no score lies on the grid of 0.00 to 0.99
        assert found[name].low < values[name] < found[name].high, name


def test_a_lower_level_gives_a_narrower_interval() -> None:
    trials = speaker_trials(20, 4, seed=10)
    wide, narrow = (
        metrics.intervals(*trials, rng=np.random.default_rng(0), num_draws=100, level=level) for level in (0.95, 0.5)
    )
    for name in ("eer", "tpr", "min_cllr"):
        assert wide[name].low < narrow[name].low < narrow[name].high < wide[name].high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    # Scores whose spread lies between speakers: drawing trials instead would hold the truth far more rarely.
    truth = metrics.eer(*speaker_trials(400, 4, seed=100)[:2]).eer
    held = 0
    for seed in range(40):
        low, high = metrics.eer_interval(*speaker_trials(15, 4, seed), rng=np.random.default_rng(seed), num_draws=80)
        held += low <= truth <= high
    assert held >= 32


@pytest.mark.parametrize("options", [{"num_draws": 0}, {"level": 95}, {"level": 0}])
def test_draws_and_levels_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    trials = speaker_trials(3, 2, seed=0)
    for measure in (metrics.eer_interval, metrics.intervals):
        with pytest.raises(ConfigError, match="num_draws"):
            measure(*trials, rng=np.random.default_rng(0), **options)  # type: ignore[operator]
