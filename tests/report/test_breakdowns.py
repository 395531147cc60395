from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from report.planted import evaluation
from speaker_id.metrics import Interval, eer
from speaker_id.report.breakdowns import Breakdown, Group, breakdowns, gap_of
from speaker_id.report.document import Note, Table
from speaker_id.report.evaluation import Evaluation
from speaker_id.report.findings import find
from speaker_id.report.group_section import groups

PLANTED = evaluation(num_speakers=40, women=1.8, num_draws=5)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Rough intervals do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.report.breakdowns.NUM_DRAWS", 40)
        yield


def of(told: Evaluation, key: str) -> Breakdown:
    return {found.key: found for found in breakdowns(told, 0.3, np.random.default_rng(0))}[key]


def group(name: str, rate: float | None, interval: Interval | None = None) -> Group:
    return Group(name, 20, 100, 1000, rate, interval, rate, rate)


def test_the_planted_gap_between_women_and_men_is_found_and_named() -> None:
    found = of(PLANTED, "gender")
    assert [one.name for one in found.groups] == ["female", "male"]
    assert found.gap is not None
    assert (found.gap.worst.name, found.gap.best.name) == ("female", "male")
    assert found.gap.real
    assert found.gap.interval is not None
    assert found.gap.interval.low < found.gap.difference < found.gap.interval.high
    equal = of(evaluation(num_speakers=40, women=1, num_draws=5, seed=1), "gender")
    assert equal.gap is not None
    assert not equal.gap.real


def test_a_group_counts_the_trials_whose_speakers_both_belong_to_it() -> None:
    trials, speakers = PLANTED.trials, np.array(PLANTED.recordings.speakers)
    women = {name for name, facts in PLANTED.speaker_facts.items() if facts["gender"] == "f"}
    both = np.isin(speakers[trials.enrol], list(women)) & np.isin(speakers[trials.test], list(women))
    (found,) = [one for one in of(PLANTED, "gender").groups if one.name == "female"]
    assert found.num_speakers == 20
    assert found.num_targets == 20 * 8 * 7 // 2
    assert found.num_nontargets == 160 * 159 // 2 - found.num_targets
    assert found.eer == eer(trials.scores[both], trials.is_target[both]).eer
    accepted = trials.scores[both] >= 0.3
    assert found.fpr == accepted[~trials.is_target[both]].mean()
    assert found.fnr == pytest.approx(1 - accepted[trials.is_target[both]].mean())


def test_seconds_of_the_test_count_for_one_breakdown_and_those_of_the_enrolment_for_the_other() -> None:
    trials, seconds = PLANTED.trials, PLANTED.recordings.seconds
    for key, rows in (("test seconds", trials.test), ("enrolment seconds", trials.enrol)):
        found = {one.name: one for one in of(PLANTED, key).groups}
        inside = (seconds[rows] >= 3) & (seconds[rows] < 5)
        assert found["3 to 5 s"].num_targets == np.count_nonzero(trials.is_target[inside])
        assert found["3 to 5 s"].eer == eer(trials.scores[inside], trials.is_target[inside]).eer
        assert sum(one.num_targets for one in found.values()) == np.count_nonzero(trials.is_target)
        assert of(PLANTED, key).gap is None


def test_shorter_recordings_are_harder_as_planted() -> None:
    rates = [one.eer for one in of(PLANTED, "test seconds").groups if one.eer is not None]
    assert rates[0] > 1.5 * rates[-1]


def test_too_few_speakers_are_counted_but_not_rated() -> None:
    few = {name: {"language": "rare" if number < 9 else "common"} for number, name in enumerate(PLANTED.speaker_facts)}
    found = {one.name: one for one in of(replace(PLANTED, speaker_facts=few), "language").groups}
    assert found["rare"].num_speakers == 9
    assert found["rare"].num_targets == 9 * 28
    assert found["rare"][4:] == (None, None, None, None)
    assert found["common"].eer is not None
    assert of(replace(PLANTED, speaker_facts=few), "language").gap is None


def test_a_column_that_says_the_same_of_all_is_left_out() -> None:
    alike = {name: {"corpus": "dev", "gender": facts["gender"]} for name, facts in PLANTED.speaker_facts.items()}
    found = breakdowns(replace(PLANTED, speaker_facts=alike), 0.3, np.random.default_rng(0))
    assert [one.key for one in found] == ["test seconds", "enrolment seconds", "gender"]


def test_many_groups_are_cut_to_the_largest() -> None:
    facts = {name: {"town": f"town {number % 15}"} for number, name in enumerate(PLANTED.speaker_facts)}
    found = of(replace(PLANTED, speaker_facts=facts), "town")
    assert len(found.groups) == 12
    assert found.num_left_out == 3


def test_where_nobody_says_who_speaks_there_are_rates_by_seconds_without_intervals() -> None:
    found = breakdowns(evaluation(num_speakers=40, labelled=False, num_draws=5), 0.3, np.random.default_rng(0))
    assert [one.key for one in found] == ["test seconds", "enrolment seconds"]
    assert any(one.eer is not None for one in found[0].groups)
    assert {(one.interval, one.num_speakers) for breakdown in found for one in breakdown.groups} == {(None, None)}


def test_the_gaps_interval_adds_squares_of_distances() -> None:
    found = gap_of([group("a", 0.061, Interval(0.058, 0.069)), group("b", 0.032, Interval(0.026, 0.036))])
    assert found is not None
    assert found.difference == pytest.approx(0.029)
    assert found.interval == pytest.approx((0.029 - 0.005, 0.029 + 0.010))  # 3-4-5 and 8-6-10 triangles
    assert found.real


def test_the_largest_of_many_gaps_needs_more_to_be_real() -> None:
    """Three groups have three differences: 2.39 standard errors instead of 1.96."""
    sides = [group("a", 0.061, Interval(0.058, 0.069)), group("b", 0.032, Interval(0.026, 0.036))]
    found = gap_of([*sides, group("c", 0.05, Interval(0.04, 0.06))])
    assert found is not None
    assert found.interval == pytest.approx((0.029 - 0.005 * 2.394 / 1.96, 0.029 + 0.010 * 2.394 / 1.96), rel=1e-3)


def test_the_gap_lies_between_the_worst_and_the_best_that_are_known() -> None:
    found = gap_of([group("a", 0.05), group("b", None), group("c", 0.02), group("d", 0.03)])
    assert found is not None
    assert (found.worst.name, found.best.name, found.interval) == ("a", "c", None)
    assert gap_of([group("a", 0.05), group("b", None)]) is None


def test_the_section_names_the_gap_with_its_size_and_doubt() -> None:
    findings = find(PLANTED)

    def said(a: Group, b: Group) -> Note:
        found = Breakdown("gender", (a, b), gap_of([a, b]), 0)
        (note,) = [block for block in groups(findings._replace(breakdowns=(found,))).blocks if isinstance(block, Note)]
        return note

    note = said(group("women", 0.061, Interval(0.058, 0.069)), group("men", 0.032, Interval(0.026, 0.036)))
    words = "women 6.10 % (20 speakers), men 3.20 % (20 speakers): a gap of 2.9 points, 95 % 2.4 to 3.9."
    assert (note.text.replace("\u202f", " "), note.level) == (words, "bad")
    note = said(group("women", 0.04, Interval(0.02, 0.06)), group("men", 0.03, Interval(0.02, 0.05)))
    assert note.text.endswith("95 % -1.8 to 3.2: chance alone could make it.")
    assert note.level == "plain"


def test_the_section_says_how_many_trials_a_group_lacks_and_what_table_would_help() -> None:
    section = groups(find(evaluation(num_speakers=6, facts=False, num_draws=5)))
    assert not [block for block in section.blocks if isinstance(block, Table)]
    texts = [block.text for block in section.blocks if isinstance(block, Note)]
    assert "By length of the test recording: too few trials in each of" in texts[0]
    assert "speakers.tsv" in texts[-1]
