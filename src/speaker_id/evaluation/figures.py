"""Scores -> figures with their intervals."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speaker_id import metrics
from speaker_id.contracts import OperatingPoint
from speaker_id.errors import ConfigError
from speaker_id.report.evaluation import Figure, Trials, llr_map

MAX_DRAWN = 2**18  # trials that intervals are drawn from: the speakers decide how wide they are, not the trials


MIN_SPEAKERS = 3  # of two, every draw with both kinds of trials is the same: an interval without width


class HowToMeasure(NamedTuple):
    """The options of conf/eval.yaml that `measure` needs."""

    target_fpr: float | None  # a false-accept rate to say the tpr and the threshold at
    num_draws: int  # of speakers, for the intervals; 0 = none
    seed: int

    def checked(self) -> "HowToMeasure":
        """Itself; raises ConfigError for what cannot be measured."""
        if self.target_fpr is not None and not 0 <= self.target_fpr <= 1:
            raise ConfigError(f"target_fpr={self.target_fpr:g}: give a rate between 0 and 1, 0.001 is 0.1 %")
        if self.num_draws < 0:
            raise ConfigError(f"interval_draws={self.num_draws}: give 0 for no intervals, or 1000")
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: give a whole number from 0 on")
        return self


def can_be_drawn(speakers: Sequence[str]) -> bool:
    """Whether drawing these speakers anew tells anything: everybody is known, and there are three or more."""
    return all(speakers) and len(set(speakers)) >= MIN_SPEAKERS


def measure(
    trials: Trials, speakers: Sequence[str], point: OperatingPoint | None, how: HowToMeasure
) -> tuple[Figure, ...]:
    """Every figure of a system; `speakers` (N,) of the rows, empty where nobody says who speaks.

    There are no intervals then, nor of two speakers alone.

    `point` is the operating point that fits these scores: with it, the rates at its threshold, and what its calibrated
    scores are worth. Raises DataError for trials of one kind alone, and for labels that contradict the trials'.
    """
    llr, threshold = llr_map(point), None if point is None else point.threshold
    values = metrics.figures(trials.scores, trials.is_target, llr=llr, threshold=threshold)
    intervals: dict[str, metrics.Interval] = {}
    if how.num_draws and can_be_drawn(speakers):
        numbers, rng = np.unique(speakers, return_inverse=True)[1], np.random.default_rng(how.seed)
        few = thinned(trials, rng)
        intervals = metrics.intervals(
            few.scores, few.is_target, numbers[few.enrol], numbers[few.test],
            rng=rng, num_draws=how.num_draws, llr=llr, threshold=threshold,
        )  # fmt: skip
    figures = [Figure(name, value, intervals.get(name)) for name, value in values.items()]
    if how.target_fpr is not None:
        rates = metrics.at_fpr(trials.scores, trials.is_target, how.target_fpr)
        chosen = {
            "target_fpr": how.target_fpr,
            "tpr_at_target_fpr": rates.tpr,
            "threshold_at_target_fpr": rates.threshold,
        }
        figures += [Figure(name, value, None) for name, value in chosen.items()]
    return tuple(figures)


def thinned(trials: Trials, rng: np.random.Generator) -> Trials:
    """At most `MAX_DRAWN` of the trials, drawn from each kind by itself; all of them where there are no more."""
    if len(trials.scores) <= MAX_DRAWN:
        return trials
    kinds = [np.flatnonzero(trials.is_target), np.flatnonzero(~trials.is_target)]
    fewer = min(map(len, kinds))
    most = max(MAX_DRAWN // 2, MAX_DRAWN - fewer)  # one kind may be rare: the other then fills what it leaves
    rows = np.concatenate([rng.choice(kind, min(len(kind), most), replace=False) for kind in kinds])
    return Trials(*(column[rows] for column in trials))
