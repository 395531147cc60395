"""What a Recognizer answers. Scores are raw cosines in [-1, 1]: higher means more alike, accepted is `>= threshold`.

`llr` is what a score is worth, the natural logarithm of how much likelier it is from one speaker than from two; and
`probability` that it is one speaker, for somebody who held `prior` to be the probability before hearing anything. A
model without calibration knows neither: both are None, and `threshold_source` begins with "uncalibrated".
"""

from dataclasses import dataclass

from speaker_id.contracts import Match
from speaker_id.inference.quality import Quality


@dataclass(frozen=True)
class Comparison:
    """Whether two recordings are of one speaker. The prior moves the probability, never the decision."""

    score: float
    llr: float | None
    probability: float | None  # at `prior`
    prior: float
    calibrated: bool
    threshold: float
    accepted: bool
    reason: str  # in words: why this answer
    threshold_source: str  # in words: where the threshold comes from
    quality: tuple[Quality, ...] = ()  # of both recordings, in their order, where they were at hand


@dataclass(frozen=True)
class Identification:
    """Who of the enrolled users is speaking, or nobody.

    `llr` and `probability` are those of comparing with the best user alone: the more users there are, the likelier it
    is that a stranger is like one of them, and neither number knows how many there are. `threshold` does where
    `threshold_source` says so: it is then higher than the model's own.

    `reason` tells three kinds of nobody apart: nobody is enrolled, the best score is below the threshold, and two
    users too close to choose between.
    """

    user: str | None
    score: float | None  # of the best user; None when nobody is enrolled
    llr: float | None
    probability: float | None  # at `prior`
    prior: float
    calibrated: bool
    threshold: float
    margin: float | None  # best minus second score; None with fewer than two users
    candidates: tuple[Match, ...]  # best first
    reason: str  # in words: why this answer
    threshold_source: str
    quality: Quality | None = None  # of the recording, where it was at hand


@dataclass(frozen=True)
class Enrolment:
    """What is kept of a user after enrolling, and what a person should look at."""

    user: str
    num_recordings_added: int
    num_recordings: int
    warnings: tuple[str, ...] = ()  # in words: doubts about who speaks, then poor recordings
