"""What the service answers, as OpenAPI shows it."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_CONSENT, MAX_METADATA = 2000, 10_000  # letters


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
    keeps_recordings: bool = Field(description="Whether the recordings themselves are stored, too, encrypted.")
    warnings: list[str] = Field(description="What a person should look at: doubts about who speaks, poor recordings.")
    quality: Qualities


class UserAnswer(Answer):
    user: str
    num_recordings: int
    enrolled: datetime = Field(description="First recording kept, UTC.")
    expires: datetime | None = Field(description="From then on the user is not found, and erased; null: never.")


class UsersAnswer(Answer):
    total: int = Field(description="Of all users, however many are listed here.")
    users: list[UserAnswer]
    grace_seconds: float = Field(description="How long a removal can be undone; 0: not at all.")


class UserDetailsAnswer(UserAnswer):
    changed: datetime = Field(description="Latest change, UTC.")
    consent: str | None
    metadata: dict[str, str]


class DetailsChange(BaseModel):
    """What is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")

    consent: str | None = Field(None, max_length=MAX_CONSENT, description="Who agreed to what, when.")
    metadata: dict[str, str] | None = Field(None, description="In place of all there were.")
    expires: datetime | None = Field(None, description="From then on the user is not found, and erased.")

    @field_validator("metadata")
    @classmethod
    def _short(cls, metadata: dict[str, str] | None) -> dict[str, str] | None:
        if sum(len(key) + len(value) for key, value in (metadata or {}).items()) > MAX_METADATA:
            raise ValueError(f"metadata may hold {MAX_METADATA} letters")
        return metadata


class CopyAnswer(Answer):
    """An export or backup."""

    time: datetime = Field(description="UTC.")
    description: str = Field(description="What it is and where.")


class RemoveAnswer(Answer):
    user: str
    removed: bool
    restorable_until: datetime | None = Field(description="Until then the removal can be undone; null: it is erased.")
    copies: list[CopyAnswer] = Field(description="Where the user may still be: whoever keeps those must erase them.")


class RestoreAnswer(Answer):
    user: str
    restored: bool


class EventAnswer(Answer):
    """One line of the audit log."""

    time: datetime = Field(description="UTC.")
    action: str = Field(description="enrol, update, remove, restore, erase, expire, copy, rotate key or import.")
    user_tag: str | None = Field(description="The same for the same name; it tells the name to nobody.")
    num_recordings: int
    by: str | None = Field(description="Who did it: an API key's name, a user of the operating system.")


class EventsAnswer(Answer):
    events: list[EventAnswer]


class EmbedAnswer(Answer):
    embedding: list[float] = Field(description="A unit vector. It is biometric data: keep it like a password.")
    fingerprint: str = Field(description="Of the model: embeddings of different models cannot be compared.")


class HealthAnswer(Answer):
    status: str
    model: str = Field(description="The model's fingerprint.")
    calibrated: bool
    keeps_recordings: bool = Field(description="Whether enrolled recordings are stored, too, encrypted.")
    version: str
