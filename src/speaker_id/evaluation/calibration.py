"""Trials of labelled recordings -> an operating point: chosen on some speakers, measured on others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from math import comb, isqrt
from typing import NamedTuple

import numpy as np

from speaker_id import calibration, metrics, scoring
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.data.lists import DataList
from speaker_id.errors import DataError
from speaker_id.evaluation.figures import HowToMeasure, measure
from speaker_id.evaluation.trial_rows import all_pairs
from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Figure, Trials

FIGURES = (
    "operating_fpr",
    "operating_tpr",
    "act_dcf",
    "min_dcf",
    "act_dcf_05",
    "min_dcf_05",
    "cllr",
    "min_cllr",
    "eer",
)


class Counts(NamedTuple):
    """What all pairs of some recordings amount to."""

    num_speakers: int
    num_speaker_pairs: int  # of two different people
    num_target_speakers: int  # with two recordings or more
    num_targets: int
    num_nontargets: int


class LabelledTrials(NamedTuple):
    """Every pair of the recordings of one set, and who speaks in each of the N recordings."""

    source: str  # where they are listed, for messages
    trials: Trials
    speakers: tuple[str, ...]  # (N,)

    @property
    def counts(self) -> Counts:
        return count(self.speakers)


def speakers_of(data: DataList) -> list[str]:
    """Who speaks in each recording."""
    return [utterance.label for utterance in data.utterances]


def halves(data: DataList, *, seed: int) -> tuple[DataList, DataList]:
    """Two lists that share no speaker: (to choose on, to measure on).

    Speakers with several recordings, who alone make target trials, are dealt out evenly, and so are the others. Raises
    DataError when a half would have no target or no nontarget trial.
    """
    counts = Counter(speakers_of(data))
    several = sorted(speaker for speaker, count in counts.items() if count > 1)
    once = sorted(speaker for speaker, count in counts.items() if count == 1)
    if len(several) < 2 or len(counts) < 4:
        raise DataError(
            f"{data.source}: {len(counts)} speakers, {len(several)} of them with two recordings or more, cannot be "
            "split in two: at least 4 and 2 are needed; add some, or measure on another list with data.report_list=FILE"
        )
    rng = np.random.default_rng(seed)
    dealt = [*rng.permutation(several).tolist(), *rng.permutation(once).tolist()]
    parts = (set(dealt[::2]), set(dealt[1::2]))
    first, second = (tuple(row for row in data.utterances if row.label in part) for part in parts)
    return DataList(f"half of {data.source}", first), DataList(f"the other half of {data.source}", second)


def check_others(chosen_on: DataList, measured_on: DataList) -> None:
    """Raise DataError for a speaker in both lists."""
    if shared := sorted(set(speakers_of(chosen_on)) & set(speakers_of(measured_on))):
        raise DataError(
            f"{measured_on.source} shares {len(shared)} speakers with {chosen_on.source} (the first: {shared[0]!r}): "
            "what is measured on them would be too good; list other people in data.report_list"
        )


def count(speakers: Sequence[str]) -> Counts:
    """What all pairs of recordings will amount to, when these are who speaks in each."""
    sizes = Counter(speakers).values()
    num_targets = sum(comb(size, 2) for size in sizes)
    several = sum(size > 1 for size in sizes)
    return Counts(len(sizes), comb(len(sizes), 2), several, num_targets, comb(len(speakers), 2) - num_targets)


def check_counts(counts: Counts, *, source: str) -> None:
    """Raise DataError for recordings that cannot make both kinds of trial."""
    if not counts.num_targets or not counts.num_nontargets:
        raise DataError(
            f"{source}: {counts.num_speakers} speakers, {counts.num_target_speakers} of them with two recordings or "
            "more: calibration needs at least two speakers, and two recordings of one"
        )


def check_support(counts: Counts, target_fpr: float, *, source: str, advice: str = "") -> None:
    """Raise DataError for a false-accept rate that nobody could promise from so few speakers; `advice` ends it."""
    support = calibration.supported_fpr(counts.num_speaker_pairs, target_fpr)
    if support.supported:
        return
    needed = speakers_for(support.required)
    possible = support.lowest_fpr < 1
    lowest = f"target_fpr={rounded_up(support.lowest_fpr)} at the lowest" if possible else "no rate at all"
    raise DataError(
        f"{source}: too few speakers to promise {percent(target_fpr)} false accepts: the threshold would be chosen on "
        f"{counts.num_speakers} of them, and {needed} are needed, {needed - counts.num_speakers} more. What counts is "
        f"how many pairs of different people there are, {counts.num_speaker_pairs:,} of {support.required:,}, since "
        f"the {counts.num_nontargets:,} nontarget trials between them repeat each other. They support {lowest}{advice}"
    )


def speakers_for(num_pairs: int) -> int:
    """The fewest people of whom so many pairs can be made, n (n - 1) / 2."""
    return next(n for n in range(isqrt(2 * num_pairs), num_pairs + 2) if comb(n, 2) >= num_pairs)


def labelled_trials(source: str, embeddings: FloatArray, speakers: Sequence[str]) -> LabelledTrials:
    """Unit rows (N, E) and who speaks in each -> all pairs, scored by cosine, as the product scores them."""
    pairs = all_pairs(speakers)
    scores = scoring.score_trials(embeddings, pairs.enrol, pairs.test)
    return LabelledTrials(source, Trials(pairs.enrol, pairs.test, scores, pairs.is_target), tuple(speakers))


def choose(chosen_on: LabelledTrials, *, target_fpr: float, p_target: float) -> OperatingPoint:
    """The lowest threshold with at most `target_fpr` of the nontargets accepted, and what a score is worth.

    Raises DataError when the trials cannot support that rate, or when scores do not rise with sameness.
    """
    source, trials, counts = chosen_on.source, chosen_on.trials, chosen_on.counts
    check_support(counts, target_fpr, source=source)
    fitted = calibration.fit_logistic(trials.scores, trials.is_target, p_target=p_target)
    if fitted.weights[0] <= 0:
        raise DataError(f"{source}: scores are no higher when the speaker is the same: this model tells nobody apart")
    return OperatingPoint(
        threshold=metrics.at_fpr(trials.scores, trials.is_target, target_fpr).threshold,
        source=(
            f"calibrated for {percent(target_fpr)} false accepts, on {counts.num_nontargets:,} nontarget trials of "
            f"{counts.num_speakers} speakers"
        ),
        llr_scale=fitted.weights[0],
        llr_offset=fitted.offset,
        target_fpr=target_fpr,
        num_nontargets=counts.num_nontargets,
    )


def measure_point(
    measured_on: LabelledTrials, point: OperatingPoint, *, num_draws: int, seed: int
) -> tuple[Figure, ...]:
    """What a calibrated operating point does to trials that it was not chosen on; 95 % intervals over speakers."""
    how = HowToMeasure(None, num_draws, seed)
    figures = {figure.name: figure for figure in measure(measured_on.trials, measured_on.speakers, point, how)}
    values = {name: figure.value for name, figure in figures.items()}
    for name, interval in _where_nothing_went_wrong(values, measured_on.counts).items():
        figures[name] = figures[name]._replace(interval=interval)
    return tuple(figures[name] for name in FIGURES)


def _where_nothing_went_wrong(values: Mapping[str, float], counts: Counts) -> dict[str, Interval]:
    """Every draw of trials without an error has none either, which says nothing: count people instead."""
    ends = {}
    if values["operating_fpr"] == 0:
        ends["operating_fpr"] = Interval(0.0, calibration.fpr_upper_bound(0, counts.num_speaker_pairs))
    if values["operating_tpr"] == 1:
        ends["operating_tpr"] = Interval(1 - calibration.fpr_upper_bound(0, counts.num_target_speakers), 1.0)
    return ends


def check_promise(target_fpr: float, figures: Sequence[Figure], *, source: str) -> None:
    """Raise DataError when other speakers contradict the rate that the threshold was chosen for."""
    measured = next(figure for figure in figures if figure.name == "operating_fpr")
    if measured.interval is None:
        raise DataError(
            f"{source}: two speakers cannot show whether a threshold keeps its promise, so that nothing was written "
            "into the checkpoint: list three or more in data.report_list"
        )
    if measured.interval.low > target_fpr:
        raise DataError(
            f"{source}: chosen for {percent(target_fpr)} false accepts, the threshold lets {percent(measured.value)} "
            f"through here (95 % interval {percent(measured.interval.low)} to {percent(measured.interval.high)}), so "
            "that nothing was written into the checkpoint: calibrate on recordings like those to be recognised, of "
            "speakers that the model was not trained on"
        )


def percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"


def rounded_up(rate: float) -> str:
    """Two digits of a rate, and never less than it: 0.1201 -> 0.13."""
    return f"{Context(prec=2, rounding=ROUND_CEILING).create_decimal(Decimal(repr(rate))):f}"
