from dataclasses import replace

import numpy as np
import pytest

from report.planted import evaluation
from speaker_id.report.evaluation import Evaluation, Recordings, Trials
from speaker_id.report.mistakes import NUM_WORST, mistakes, worst

PLANTED = evaluation(num_speakers=10, per_speaker=6, num_draws=2)


def of(pairs: list[tuple[int, int, float]]) -> Evaluation:
    """Recordings 0 to 4 are anna's, 5 to 9 ben's."""
    names = tuple(f"{row}.wav" for row in range(10))
    who = ("anna",) * 5 + ("ben",) * 5
    enrol, test = (np.array([pair[side] for pair in pairs], np.intp) for side in (0, 1))
    is_target = (enrol < 5) == (test < 5)
    scores = np.array([score for _, _, score in pairs], np.float32)
    recordings = Recordings(names, names, who, np.ones(10, np.float32), np.eye(10, dtype=np.float32))
    return replace(PLANTED, recordings=recordings, trials=Trials(enrol, test, scores, is_target))


def test_the_hardest_of_each_kind_come_hardest_first_with_their_names_and_speakers() -> None:
    found = mistakes(of([(0, 1, 0.9), (0, 2, 0.1), (0, 5, 0.2), (1, 6, 0.8), (3, 4, 0.5)]), 0.5)
    assert [(m.enrol, m.test, m.wrong) for m in found.targets] == [
        ("0.wav", "2.wav", True), ("3.wav", "4.wav", False), ("0.wav", "1.wav", False),
    ]  # fmt: skip
    assert [(m.score, m.wrong) for m in found.nontargets] == [(pytest.approx(0.8), True), (pytest.approx(0.2), False)]
    assert found.nontargets[0].enrol_speaker == "anna"
    assert found.nontargets[0].test_speaker == "ben"


def test_worst_takes_no_more_than_twenty_and_equal_scores_in_their_order() -> None:
    scores = np.array([0.5] * 30 + [0.1], np.float32)
    assert worst(scores, np.ones(31, np.bool_)).tolist() == [30, *range(NUM_WORST - 1)]
    assert worst(scores, np.arange(31) >= 28).tolist() == [30, 28, 29]


def test_worst_agrees_with_sorting_everything() -> None:
    rng = np.random.default_rng(0)
    scores, among = rng.normal(size=5000), rng.random(5000) < 0.3
    expected = [row for row in np.argsort(scores, kind="stable") if among[row]][:NUM_WORST]
    assert worst(scores, among).tolist() == expected


def test_a_recording_that_its_own_speaker_does_not_know_is_an_outlier() -> None:
    """Recording 4 misses all its trials, each of the others one in four."""
    pairs = [(a, b, 0.1 if b == 4 else 0.9) for a in range(5) for b in range(a + 1, 5)]
    (outlier,) = mistakes(of([*pairs, (0, 5, 0.0)]), 0.5).outliers
    assert (outlier.name, outlier.speaker, outlier.num_misses, outlier.num_targets) == ("4.wav", "anna", 4, 4)


def test_half_of_its_trials_refused_make_an_outlier_and_fewer_do_not() -> None:
    """Recording 0 misses two trials of four, 1 and 2 one of four."""
    pairs = [(a, b, 0.1 if (a, b) in ((0, 1), (0, 2)) else 0.9) for a in range(5) for b in range(a + 1, 5)]
    assert [outlier.name for outlier in mistakes(of([*pairs, (0, 5, 0.0)]), 0.5).outliers] == ["0.wav"]


def test_recordings_of_few_trials_are_no_outliers() -> None:
    assert mistakes(of([(0, 1, 0.1), (0, 2, 0.1), (0, 3, 0.1), (0, 5, 0.0)]), 0.5).outliers == ()
