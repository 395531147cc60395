"""What a Recognizer answers. Scores are raw cosines in [-1, 1]: higher means more alike, accepted is `>= threshold`."""

from dataclasses import dataclass

from speaker_id.contracts import Match


@dataclass(frozen=True)
class Comparison:
    """Whether two recordings are of one speaker."""

    score: float
    threshold: float
    accepted: bool
    threshold_source: str  # in words: where the threshold comes from


@dataclass(frozen=True)
class Identification:
    """Who of the enrolled users is speaking, or nobody."""

    user: str | None
    score: float | None  # of the best user; None when nobody is enrolled
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
