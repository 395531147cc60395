"""What an evaluation hands to its report: recordings, trials, figures and where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.metrics import Interval, LlrMap


class Figure(NamedTuple):
    """One number of an evaluation; `name` is its key in metrics.json."""

    name: str
    value: float
    interval: Interval | None  # 95 %, by bootstrap over speakers; None where nobody says who speaks


class Trials(NamedTuple):
    """Trials by row of the recordings, each (M,)."""

    enrol: NDArray[np.intp]
    test: NDArray[np.intp]
    scores: FloatArray
    is_target: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Recordings:
    """What was embedded, each column (N,). A model of several recordings is a row of its own, with an empty path."""

    names: tuple[str, ...]  # as the list has them
    paths: tuple[str, ...]
    speakers: tuple[str, ...]  # "" where nobody says who speaks
    seconds: FloatArray  # of sound that was embedded
    embeddings: FloatArray  # (N, E) unit rows

    @property
    def labelled(self) -> bool:
        return all(self.speakers)


class Leakage(NamedTuple):
    """What training and evaluation share; names as the evaluation's list has them."""

    checked: bool  # False: the checkpoint says nothing about what it was trained on
    speakers: tuple[str, ...]
    recordings: tuple[str, ...]  # the same file
    audio: tuple[str, ...]  # the same sound under another name
    allowed: bool  # allow_leakage=true let it pass
    cohort: tuple[str, ...] = ()  # speakers and recordings that the back end learnt from as well
    selection: tuple[str, ...] = ()  # those of the validation list, which chose the best epoch: worth a note, no leak

    @property
    def found(self) -> bool:
        return bool(self.speakers or self.recordings or self.audio or self.cohort)


CLEAN = "clean"  # family of the first result of a stress test, which nothing disturbs


class StressResult(NamedTuple):
    """The evaluation again under one disturbance of the test recordings."""

    family: str  # "noise", "reverb", "cut", ...
    condition: str  # in words: "noise at 10 dB"
    level: float | None  # along the family's curve: 10.0
    unit: str  # of the level: "dB", "s", ""
    eer: float
    interval: Interval | None
    num_trials: int


@dataclass(frozen=True)
class ModelCard:
    """Where the figures come from."""

    checkpoint: str
    fingerprint: str
    num_parameters: int
    embedding_dim: int
    feature: Mapping[str, object]
    model: Mapping[str, object]
    pooling: Mapping[str, object]
    num_training_speakers: int
    evaluation_list: str
    evaluation_digest: str  # SHA-256 of the list's lines
    command: str  # as typed
    version: str
    created: str  # ISO 8601, UTC
    vad: Mapping[str, object] = field(default_factory=dict)  # what cuts silence first; empty where nothing does


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation of one system."""

    recordings: Recordings
    trials: Trials
    figures: tuple[Figure, ...]
    back_end: str  # in words: "cosine", "AS-norm, 300 nearest of 451"
    crop: str  # in words: "whole recordings"
    operating_point: OperatingPoint | None  # what the product would decide with
    speaker_facts: Mapping[str, Mapping[str, str]]  # speaker -> {"gender": "f", "age": "12"}, from speakers.tsv
    leakage: Leakage
    card: ModelCard
    stress: tuple[StressResult, ...] = field(default=())

    def figure(self, name: str) -> Figure:
        """The figure of that name; KeyError when there is none."""
        return {figure.name: figure for figure in self.figures}[name]


def llr_map(point: OperatingPoint | None) -> LlrMap | None:
    """What a score is worth; None where nobody has calibrated."""
    if point is None or point.llr_scale is None or point.llr_offset is None:
        return None
    return LlrMap(point.llr_scale, point.llr_offset)
