"""What a Recognizer answers. Scores are raw cosines in [-1, 1]: higher means more alike, accepted is `>= threshold`.

`llr` is what a score is worth, the natural logarithm of how much likelier it is from one speaker than from two; and
`probability` that it is one speaker, for somebody who held `prior` to be the probability before hearing anything. A
model without calibration knows neither: both are None, and `threshold_source` begins with "uncalibrated".
"""

from dataclasses import dataclass

from speaker_id.contracts import Match


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


@dataclass(frozen=True)
class Identification:
    """Who of the enrolled users is speaking, or nobody.

    `llr` and `probability` are those of comparing with the best user alone: the more users there are, the likelier it
    is that a stranger is like one of them, and neither number knows how many there are.
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


@dataclass(frozen=True)
class Enrolment:
    """What is kept of a user after enrolling."""

    user: str
    num_recordings_added: int
    num_recordings: int
