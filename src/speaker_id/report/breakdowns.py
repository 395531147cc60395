"""Who it works for: error rates by length of the recordings and by what is known of the speakers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from speaker_id.metrics import Interval, eer, eer_interval
from speaker_id.report.curves import thinned
from speaker_id.report.evaluation import Evaluation
from speaker_id.report.grouping import MAX_GROUPS, groups_of, in_order, range_name

MIN_SPEAKERS, MIN_TARGETS, MIN_NONTARGETS = 10, 30, 100  # fewer tell chance, not the system
MAX_DRAWN = 50_000  # trials that an interval is drawn from: the speakers decide how wide it is, not the trials
NUM_DRAWS = 300
SECONDS = (0, 1, 2, 3, 5, 10, 20, 40)


Flags = NDArray[np.bool_]


class Group(NamedTuple):
    """One group's trials. Rates are None where there are too few to tell."""

    name: str
    num_speakers: int | None  # None: nobody says who speaks
    num_targets: int
    num_nontargets: int
    eer: float | None
    interval: Interval | None  # 95 %
    fpr: float | None  # at the threshold that all groups share
    fnr: float | None


class Gap(NamedTuple):
    """How much worse the worst group fares than the best."""

    worst: Group
    best: Group
    difference: float  # of their EERs
    interval: Interval | None  # 95 %, for the largest difference of all

    @property
    def real(self) -> bool:
        """Whether chance hardly makes it."""
        return self.interval is not None and self.interval.low > 0


class Breakdown(NamedTuple):
    """Groups of one column; `gap` for speakers only, whose groups share nobody."""

    key: str  # "test seconds", "enrolment seconds" or the column's name
    groups: tuple[Group, ...]
    gap: Gap | None
    num_left_out: int  # groups beyond `MAX_GROUPS`


def breakdowns(evaluation: Evaluation, threshold: float, rng: np.random.Generator) -> tuple[Breakdown, ...]:
    """By seconds of the test and of the enrolment, then by each column of the speakers' facts.

    A trial between speakers belongs to a group only when both are in it: strangers of another group are easier to
    refuse, and would flatter it. `threshold` is the one that all groups share.
    """
    measure = _Measure(evaluation, threshold, rng)
    return (*_by_seconds(evaluation, measure), *_by_speakers(evaluation, measure))


def _by_seconds(evaluation: Evaluation, measure: "_Measure") -> Iterator[Breakdown]:
    codes = (np.digitize(evaluation.recordings.seconds, SECONDS) - 1).astype(np.int16)
    trials = evaluation.trials
    for key, rows in (("test seconds", trials.test), ("enrolment seconds", trials.enrol)):
        of_trial = codes[rows]
        present = [code for code in range(len(SECONDS)) if (of_trial == code).any()]
        groups = tuple(measure(range_name(SECONDS, code, unit=" s"), of_trial == code) for code in present)
        yield Breakdown(key, groups, None, 0)


def _by_speakers(evaluation: Evaluation, measure: "_Measure") -> Iterator[Breakdown]:
    facts = {name: evaluation.speaker_facts.get(name, {}) for name in dict.fromkeys(evaluation.recordings.speakers)}
    for column in dict.fromkeys(column for values in facts.values() for column in values):
        group_of = groups_of(column, {name: values.get(column, "").strip() for name, values in facts.items()})
        sizes = Counter(group_of.values())
        if len(sizes) < 2:
            continue  # all alike: nothing to compare
        kept = sorted((name for name, _ in sizes.most_common(MAX_GROUPS)), key=in_order)
        number = {name: code for code, name in enumerate(kept)}
        of_speaker = {speaker: number.get(name, -1) for speaker, name in group_of.items()}
        codes = np.array([of_speaker.get(name, -1) for name in evaluation.recordings.speakers], np.int16)
        enrol, test = codes[evaluation.trials.enrol], codes[evaluation.trials.test]
        groups = tuple(measure(name, (enrol == code) & (test == code)) for name, code in number.items())
        yield Breakdown(column, groups, gap_of(groups), len(sizes) - len(kept))


def gap_of(groups: Sequence[Group]) -> Gap | None:
    """Between the worst and the best group that have enough trials.

    The interval follows from the groups' own, which are independent as they share no speaker: squares of the distances
    to their limits add up (Zou & Donner, "Construction of confidence limits about effect measures", 2008). Among more
    than two groups it is as much wider as the largest of all their differences needs (Bonferroni).
    """
    known = sorted((group for group in groups if group.eer is not None), key=lambda group: group.eer or 0)
    if len(known) < 2:
        return None
    best, worst = known[0], known[-1]
    difference = (worst.eer or 0) - (best.eer or 0)
    if worst.interval is None or best.interval is None:
        return Gap(worst, best, difference, None)
    num_pairs = len(known) * (len(known) - 1) / 2
    wider = ndtri(0.025 / num_pairs) / ndtri(0.025)
    below = wider * np.hypot((worst.eer or 0) - worst.interval.low, best.interval.high - (best.eer or 0))
    above = wider * np.hypot(worst.interval.high - (worst.eer or 0), (best.eer or 0) - best.interval.low)
    return Gap(worst, best, difference, Interval(float(difference - below), float(difference + above)))


class _Measure:
    """A group's trials -> its rates."""

    def __init__(self, evaluation: Evaluation, threshold: float, rng: np.random.Generator) -> None:
        self.trials = evaluation.trials
        self.threshold = threshold
        self.rng = rng
        self.speakers: NDArray[np.int32] | None = None  # (N,) of each recording
        if evaluation.recordings.labelled:
            self.speakers = np.unique(evaluation.recordings.speakers, return_inverse=True)[1].astype(np.int32)

    def __call__(self, name: str, inside: Flags) -> Group:
        rows = np.flatnonzero(inside)
        scores, is_target = self.trials.scores[rows], self.trials.is_target[rows]
        num_targets = int(np.count_nonzero(is_target))
        num_nontargets = rows.size - num_targets
        num_speakers = self._num_speakers(rows)
        enough = num_targets >= MIN_TARGETS and num_nontargets >= MIN_NONTARGETS
        if not enough or (num_speakers is not None and num_speakers < MIN_SPEAKERS):
            return Group(name, num_speakers, num_targets, num_nontargets, None, None, None, None)
        accepted = scores >= np.float64(self.threshold)
        return Group(
            name, num_speakers, num_targets, num_nontargets,
            eer=eer(scores, is_target).eer,
            interval=self._interval(rows),
            fpr=float(np.count_nonzero(accepted & ~is_target) / num_nontargets),
            fnr=float(np.count_nonzero(~accepted & is_target) / num_targets),
        )  # fmt: skip

    def _num_speakers(self, rows: NDArray[np.intp]) -> int | None:
        if self.speakers is None:
            return None
        present = np.zeros(self.speakers.max() + 1, np.bool_)
        present[self.speakers[self.trials.enrol[rows]]] = present[self.speakers[self.trials.test[rows]]] = True
        return int(np.count_nonzero(present))

    def _interval(self, rows: NDArray[np.intp]) -> Interval | None:
        if self.speakers is None:
            return None
        is_target = self.trials.is_target[rows]
        targets = thinned(rows[is_target], MAX_DRAWN // 2, self.rng)
        drawn = np.concatenate([targets, thinned(rows[~is_target], MAX_DRAWN - targets.size, self.rng)])
        enrol, test, scores, is_target = (column[drawn] for column in self.trials)
        speakers = (self.speakers[enrol], self.speakers[test])
        return eer_interval(scores, is_target, *speakers, rng=self.rng, num_draws=NUM_DRAWS)
