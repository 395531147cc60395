"""What the service answers, as OpenAPI shows it."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)

    @classmethod
    def of(cls, result: Any, **more: Any) -> Self:
        """From a result of the library: those of its fields that this answer has."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields if name not in more}, **more)


class Refusal(Answer):
    """Why a request was not answered; the same shape for every error."""

    error: str = Field(description="The kind of error, for programs.", examples=["TooShort"])
    message: str = Field(description="What was wrong and what to do, for people.")


class QualityAnswer(Answer):
    """What a recording is like; levels in dBFS."""

    seconds: float
    speech_seconds: float = Field(description="Without the pauses.")
    level_db: float
    peak: float = Field(description="Largest magnitude of a sample; full scale is 1.")
    clipped: float = Field(description="Share of the samples at the end of the range, 0 to 1.")
    snr_db: float | None = Field(description="Speech over its pauses; null without pauses.")
    band_hz: float = Field(description="Above it there is no sound.")
    remarks: list[str] = Field(description="What makes it a poor recording.")


Qualities = Annotated[list[QualityAnswer], Field(description="Of each recording, in their order.")]


class CompareAnswer(Answer):
    score: float = Field(description="Cosine, -1 to 1: higher means more alike.")
    llr: float | None = Field(description="Natural log-likelihood ratio; null for an uncalibrated model.")
    probability: float | None = Field(description="Of one speaker, at `prior`; null for an uncalibrated model.")
    prior: float
    calibrated: bool
    threshold: float
    accepted: bool = Field(description="score >= threshold")
    reason: str
    threshold_source: str
    quality: Qualities


class MatchAnswer(Answer):
    user: str
    score: float


class IdentifyAnswer(Answer):
    user: str | None = Field(description="null: nobody who is enrolled.")
    score: float | None
    llr: float | None
    probability: float | None
    prior: float
    calibrated: bool
    threshold: float
    margin: float | None = Field(description="Best minus second score; null with fewer than two users.")
    candidates: list[MatchAnswer]
    reason: str
    threshold_source: str
    quality: Qualities


class EnrolAnswer(Answer):
    user: str
    num_recordings_added: int
    num_recordings: int = Field(description="Kept of this user now.")
    quality: Qualities


class UserAnswer(Answer):
    user: str
    num_recordings: int
    enrolled: datetime = Field(description="First recording kept, UTC.")
    expires: datetime | None = Field(description="From then on the user is not found, and erased; null: never.")


class UsersAnswer(Answer):
    total: int = Field(description="Of all users, however many are listed here.")
    users: list[UserAnswer]


class RemoveAnswer(Answer):
    user: str
    removed: bool


class EmbedAnswer(Answer):
    embedding: list[float] = Field(description="A unit vector. It is biometric data: keep it like a password.")
    fingerprint: str = Field(description="Of the model: embeddings of different models cannot be compared.")


class HealthAnswer(Answer):
    status: str
    model: str = Field(description="The model's fingerprint.")
    calibrated: bool
    version: str
