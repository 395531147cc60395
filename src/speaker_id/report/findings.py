"""Everything a report says, as numbers: what its three forms are written from."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import numpy as np

from speaker_id.contracts import OperatingPoint
from speaker_id.metrics.trials import sorted_trials
from speaker_id.report.breakdowns import Breakdown, breakdowns
from speaker_id.report.curves import Histogram, Mark, Reliability, Sweep, histogram, marks, reliability, sweep
from speaker_id.report.evaluation import Evaluation, Figure, Leakage, ModelCard, StressResult, llr_map
from speaker_id.report.mistakes import Mistakes, mistakes
from speaker_id.report.speaker_map import Projection, SpeakerMap, speaker_map

SEED = 0  # of all that is drawn at random here: the same evaluation gives the same report


class Statistics(NamedTuple):
    """What was evaluated. Seconds are those of one recording."""

    num_recordings: int
    num_speakers: int | None  # None: nobody says who speaks
    num_targets: int
    num_nontargets: int
    hours: float
    seconds_min: float
    seconds_median: float
    seconds_max: float
    largest_speaker: float | None  # share of the target trials that are of one speaker


class Findings(NamedTuple):
    """One evaluation, digested."""

    back_end: str
    crop: str
    figures: tuple[Figure, ...]
    operating_point: OperatingPoint | None
    marks: tuple[Mark, ...]
    statistics: Statistics
    leakage: Leakage
    breakdowns: tuple[Breakdown, ...]
    mistakes: Mistakes
    stress: tuple[StressResult, ...]
    sweep: Sweep
    histogram: Histogram
    reliability: Reliability
    map: SpeakerMap | None
    card: ModelCard

    @property
    def eer(self) -> Figure:
        """The one that every evaluation has; KeyError otherwise."""
        return {figure.name: figure for figure in self.figures}["eer"]

    def figure(self, name: str) -> Figure | None:
        return {figure.name: figure for figure in self.figures}.get(name)


def find(evaluation: Evaluation, *, projection: Projection = "tsne") -> Findings:
    """Digest an evaluation. Raises `DataError` when its trials are of one kind, `ConfigError` as `speaker_map` does."""
    trials = sorted_trials(evaluation.trials.scores, evaluation.trials.is_target)
    point = evaluation.operating_point
    marked = marks(trials, point)
    return Findings(
        back_end=evaluation.back_end,
        crop=evaluation.crop,
        figures=evaluation.figures,
        operating_point=point,
        marks=marked,
        statistics=statistics(evaluation),
        leakage=evaluation.leakage,
        breakdowns=breakdowns(evaluation, marked[0].threshold, np.random.default_rng(SEED)),
        mistakes=mistakes(evaluation, marked[0].threshold),
        stress=evaluation.stress,
        sweep=sweep(trials),
        histogram=histogram(trials),
        reliability=reliability(trials, llr_map(point)),
        map=speaker_map(evaluation.recordings, projection, np.random.default_rng(SEED)),
        card=evaluation.card,
    )


def statistics(evaluation: Evaluation) -> Statistics:
    recordings, trials = evaluation.recordings, evaluation.trials
    heard = np.array([bool(path) for path in recordings.paths])
    seconds = recordings.seconds[heard] if heard.any() else recordings.seconds
    num_targets = int(np.count_nonzero(trials.is_target))
    largest = None
    if recordings.labelled:
        codes = np.unique(recordings.speakers, return_inverse=True)[1]
        largest = float(np.bincount(codes[trials.enrol[trials.is_target]]).max() / num_targets)
    return Statistics(
        num_recordings=int(np.count_nonzero(heard)),
        num_speakers=len(set(recordings.speakers)) if recordings.labelled else None,
        num_targets=num_targets,
        num_nontargets=trials.is_target.size - num_targets,
        hours=float(seconds.sum(dtype=np.float64) / 3600),
        seconds_min=float(seconds.min()),
        seconds_median=float(np.median(seconds)),
        seconds_max=float(seconds.max()),
        largest_speaker=largest,
    )


def plain(value: Any) -> Any:
    """As JSON has it: what has named parts becomes an object, what is not finite becomes null."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
