from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id import scoring
from speaker_id.contracts import OperatingPoint
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import DataError
from speaker_id.evaluation.calibration import (
    Counts,
    LabelledTrials,
    check_counts,
    check_others,
    check_promise,
    check_support,
    choose,
    count,
    halves,
    labelled_trials,
    measure_point,
    percent,
    rounded_up,
    speakers_for,
    speakers_of,
)
from speaker_id.evaluation.trial_rows import all_pairs
from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Figure, Trials

TARGET_MEAN, NONTARGET_MEAN, DEVIATION = 0.6, 0.1, 0.15
# log N(s; 0.6, 0.15) - log N(s; 0.1, 0.15) = (0.6 - 0.1) / 0.15**2 * (s - 0.35)
TRUE_SCALE, TRUE_OFFSET = 0.5 / 0.0225, -0.35 * 0.5 / 0.0225


def listed(*speakers: str, source: str = "list.tsv") -> DataList:
    rows = (Utterance(f"{number}.wav", speaker, f"{number}.wav") for number, speaker in enumerate(speakers))
    return DataList(source, tuple(rows))


def gaussian(num_speakers: int, num_recordings: int, *, seed: int = 0, shift: float = 0.0) -> LabelledTrials:
    """Scores drawn from two normal distributions: what every score is worth is known."""
    speakers = [f"speaker {number // num_recordings}" for number in range(num_speakers * num_recordings)]
    pairs = all_pairs(speakers)
    means = np.where(pairs.is_target, TARGET_MEAN, NONTARGET_MEAN + shift)
    scores = np.random.default_rng(seed).normal(means, DEVIATION).astype(np.float32)
    return with_scores(speakers, scores)


def with_scores(speakers: Sequence[str], scores: np.ndarray) -> LabelledTrials:
    pairs = all_pairs(speakers)
    trials = Trials(pairs.enrol, pairs.test, np.asarray(scores, np.float32), pairs.is_target)
    return LabelledTrials("list.tsv", trials, tuple(speakers))


def fpr_of(labelled: LabelledTrials, threshold: float) -> float:
    return float(np.mean(labelled.trials.scores[~labelled.trials.is_target] >= np.float32(threshold)))


def figure(value: float, low: float, high: float) -> tuple[Figure, ...]:
    return (Figure("operating_fpr", value, Interval(low, high)),)


# Sets


def test_all_pairs_are_counted_as_they_will_be_made() -> None:
    speakers = ["a", "a", "b", "b", "b", "c"]
    assert count(speakers) == Counts(
        num_speakers=3, num_speaker_pairs=3, num_target_speakers=2, num_targets=1 + 3, num_nontargets=15 - 4
    )
    is_target = all_pairs(speakers).is_target
    assert (int(is_target.sum()), int((~is_target).sum())) == (4, 11)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=40), st.integers(0, 99))
def test_halves_share_no_speaker_lose_no_recording_and_both_make_both_kinds_of_trial(labels: str, seed: int) -> None:
    data = listed(*labels)
    sizes = Counter(labels).values()
    if len(sizes) < 4 or sum(size > 1 for size in sizes) < 2:
        with pytest.raises(DataError, match="cannot be split in two"):
            halves(data, seed=seed)
        return
    parts = halves(data, seed=seed)
    first, second = (set(speakers_of(part)) for part in parts)
    assert not first & second
    assert abs(len(first) - len(second)) <= 1
    assert [part.source for part in parts] == ["half of list.tsv", "the other half of list.tsv"]
    assert sorted([*parts[0].utterances, *parts[1].utterances]) == sorted(data.utterances)
    for part in parts:
        check_counts(count(speakers_of(part)), source="half")


def test_the_seed_says_which_half_is_which() -> None:
    data = listed(*("abcdefghij" * 2))
    assert halves(data, seed=1) == halves(data, seed=1)
    assert len({frozenset(speakers_of(halves(data, seed=seed)[0])) for seed in range(5)}) > 1


@pytest.mark.parametrize("speakers", ["aaa", "abc"])
def test_one_voice_or_no_second_recording_makes_no_calibration(speakers: str) -> None:
    with pytest.raises(DataError, match=r"list\.tsv: . speakers.*two recordings of one"):
        check_counts(count(speakers), source="list.tsv")


def test_speakers_in_both_lists_are_refused_by_name() -> None:
    check_others(listed("ada", "ben"), listed("cho"))
    with pytest.raises(DataError, match=r"other\.tsv shares 1 speakers with list\.tsv \(the first: 'ben'\)"):
        check_others(listed("ada", "ben"), listed("ben", "cho", source="other.tsv"))


# What so few speakers can promise


@pytest.mark.parametrize(("num_pairs", "speakers"), [(1, 2), (2, 3), (3, 3), (4, 4), (30, 9), (300, 25), (30_000, 246)])
def test_so_many_pairs_need_so_many_speakers(num_pairs: int, speakers: int) -> None:
    assert speakers_for(num_pairs) == speakers  # 246 * 245 / 2 = 30135, 245 * 244 / 2 = 29890


def test_a_rate_that_the_speakers_cannot_support_is_refused_with_how_many_more_are_needed() -> None:
    many_trials = count([f"speaker {number % 20}" for number in range(400)])
    assert many_trials.num_nontargets == 76_000  # enough, if they were independent
    with pytest.raises(DataError) as refused:
        check_support(many_trials, 0.001, source="list.tsv")
    said = str(refused.value)
    assert "list.tsv: too few speakers to promise 0.1 % false accepts" in said
    assert "chosen on 20 of them, and 246 are needed, 226 more" in said
    assert "190 of 30,000" in said
    assert said.endswith("They support target_fpr=0.16 at the lowest")  # 30 / 190 = 0.1579
    check_support(many_trials, 0.16, source="list.tsv")


def test_a_handful_of_speakers_supports_nothing() -> None:
    with pytest.raises(DataError, match="They support no rate at all"):
        check_support(count("aabbcc"), 0.5, source="list.tsv")


@given(st.integers(9, 3000))
def test_the_rate_that_is_said_to_be_supported_is(num_speakers: int) -> None:
    counts = count([f"speaker {number}" for number in range(num_speakers)])
    with pytest.raises(DataError) as refused:
        check_support(counts, 1e-7, source="list.tsv")
    lowest = str(refused.value).partition("target_fpr=")[2].partition(" ")[0]
    check_support(counts, float(lowest), source="list.tsv")
    with pytest.raises(DataError):
        check_support(counts, 0.9 * float(lowest), source="list.tsv")


@pytest.mark.parametrize(("rate", "text"), [(0.1201, "0.13"), (0.12, "0.12"), (2 / 7, "0.29"), (1e-5, "0.00001")])
def test_a_lowest_rate_is_rounded_up(rate: float, text: str) -> None:
    assert rounded_up(rate) == text


# Choosing


def test_pairs_are_scored_by_cosine_in_the_order_of_all_pairs() -> None:
    angles = np.radians([0, 60, 90])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labelled = labelled_trials("list.tsv", rows, ["a", "a", "b"])
    np.testing.assert_allclose(labelled.trials.scores, [0.5, 0.0, np.sqrt(0.75)], atol=1e-6)
    assert labelled.trials.is_target.tolist() == [True, False, False]
    assert labelled.trials.enrol.tolist() == scoring.pair_indices(3)[0].tolist()


def test_llrs_of_gaussian_scores_are_near_the_truth() -> None:
    point = choose(gaussian(40, 10), target_fpr=0.05, p_target=0.5)
    assert point.calibrated
    assert point.llr_scale == pytest.approx(TRUE_SCALE, rel=0.05)
    assert point.llr_offset == pytest.approx(TRUE_OFFSET, rel=0.05)


def test_the_threshold_is_the_lowest_that_keeps_the_rate_where_it_was_chosen() -> None:
    labelled = gaussian(40, 10)  # 780 pairs of speakers support 30 / 780 = 3.8 %
    num_nontargets = count(labelled.speakers).num_nontargets
    point = choose(labelled, target_fpr=0.05, p_target=0.01)
    assert 0.05 - 1 / num_nontargets < fpr_of(labelled, point.threshold) <= 0.05
    assert point.threshold == pytest.approx(0.1 + 1.645 * 0.15, abs=0.01)  # the 95 % quantile of the nontargets
    assert (point.target_fpr, point.num_nontargets) == (0.05, num_nontargets)
    assert point.source == "calibrated for 5 % false accepts, on 78,000 nontarget trials of 40 speakers"


@given(seed=st.integers(0, 10_000), target_fpr=st.floats(0.7, 0.99), digits=st.integers(0, 3))
def test_the_rate_is_kept_whatever_the_scores(seed: int, target_fpr: float, digits: int) -> None:
    rng = np.random.default_rng(seed)
    speakers = [f"speaker {number // 2}" for number in range(20)]  # 45 pairs of speakers
    scores = np.round(rng.normal(size=190) + 2 * all_pairs(speakers).is_target, digits)  # with ties
    labelled = with_scores(speakers, scores)
    assert fpr_of(labelled, choose(labelled, target_fpr=target_fpr, p_target=0.01).threshold) <= target_fpr


def test_a_model_that_scores_the_wrong_way_round_is_refused() -> None:
    labelled = gaussian(20, 3)
    upside_down = labelled._replace(trials=labelled.trials._replace(scores=-labelled.trials.scores))
    with pytest.raises(DataError, match="this model tells nobody apart"):
        choose(upside_down, target_fpr=0.5, p_target=0.01)


def test_choosing_refuses_what_the_speakers_cannot_support() -> None:
    with pytest.raises(DataError, match="too few speakers"):
        choose(gaussian(20, 3), target_fpr=0.001, p_target=0.01)


# Measuring


def test_what_is_measured_on_others_is_what_theory_says() -> None:
    point = OperatingPoint(0.35, "by hand", llr_scale=TRUE_SCALE, llr_offset=TRUE_OFFSET)
    figures = {found.name: found for found in measure_point(gaussian(60, 10, seed=1), point, num_draws=50, seed=0)}
    tail = 0.04779  # of a normal distribution beyond 0.25 / 0.15 = 1.667 deviations
    assert figures["operating_fpr"].value == pytest.approx(tail, abs=0.003)
    assert figures["operating_tpr"].value == pytest.approx(1 - tail, abs=0.01)
    assert figures["eer"].value == pytest.approx(tail, abs=0.01)
    assert figures["cllr"].value == pytest.approx(figures["min_cllr"].value, abs=0.01)  # the truth is well calibrated
    assert figures["act_dcf"].value == pytest.approx(figures["min_dcf"].value, abs=0.02)
    for found in figures.values():
        assert found.interval is not None
        assert found.interval.low <= found.value <= found.interval.high


def test_a_wrong_calibration_costs_on_others() -> None:
    truth = OperatingPoint(0.35, "by hand", llr_scale=TRUE_SCALE, llr_offset=TRUE_OFFSET)
    labelled = gaussian(20, 5)
    found = [
        {figure.name: figure.value for figure in measure_point(labelled, point, num_draws=1, seed=0)}
        for point in (truth, truth._replace(llr_offset=0.0))
    ]
    assert found[1]["cllr"] > found[0]["cllr"] + 0.5
    assert found[1]["act_dcf"] > found[0]["act_dcf"] + 0.5
    assert found[1]["min_cllr"] == found[0]["min_cllr"]


def test_no_error_at_all_is_no_proof_that_there_never_is_one() -> None:
    """3 pairs of people and 3 people: 1 - 0.05 ** (1 / 3) = 0.632 is the rate that hides from three in 5 %."""
    speakers = ["a", "a", "b", "b", "c", "c"]
    labelled = with_scores(speakers, np.where(all_pairs(speakers).is_target, 0.9, 0.1))
    point = OperatingPoint(0.5, "by hand", llr_scale=10.0, llr_offset=-5.0)
    figures = {found.name: found for found in measure_point(labelled, point, num_draws=20, seed=0)}
    assert figures["operating_fpr"].value == 0
    assert figures["operating_fpr"].interval == (0.0, pytest.approx(0.6316, abs=1e-4))
    assert figures["operating_tpr"].value == 1
    assert figures["operating_tpr"].interval == (pytest.approx(0.3684, abs=1e-4), 1.0)


# The promise


def test_a_promise_holds_until_other_speakers_contradict_it() -> None:
    check_promise(0.01, figure(0.02, 0.01, 0.03), source="other.tsv")
    check_promise(0.01, figure(0.0, 0.0, 0.005), source="other.tsv")
    with pytest.raises(DataError, match=r"other\.tsv: chosen for 1 % false accepts.*lets 2 %.*1\.1 % to 3 %") as broken:
        check_promise(0.01, figure(0.02, 0.011, 0.03), source="other.tsv")
    assert "nothing was written" in str(broken.value)


def test_two_speakers_cannot_show_that_a_promise_holds() -> None:
    with pytest.raises(DataError, match=r"other.tsv: two speakers cannot show .*: list three or more"):
        check_promise(0.01, (Figure("operating_fpr", 0.0, None),), source="other.tsv")


def test_a_threshold_from_easier_speakers_breaks_its_promise() -> None:
    point = choose(gaussian(40, 5), target_fpr=0.05, p_target=0.01)
    alike = measure_point(gaussian(40, 5, seed=2), point, num_draws=50, seed=0)
    check_promise(0.05, alike, source="alike")
    harder = measure_point(gaussian(40, 5, seed=2, shift=0.2), point, num_draws=50, seed=0)
    with pytest.raises(DataError, match="chosen for 5 % false accepts"):
        check_promise(0.05, harder, source="harder")


@pytest.mark.parametrize(("rate", "text"), [(0.001, "0.1 %"), (0.0349, "3.49 %"), (0.5, "50 %"), (1.0, "100 %")])
def test_rates_are_shown_in_per_cent(rate: float, text: str) -> None:
    assert percent(rate) == text
