"""What enters and leaves any gallery: rows of length one, details, times."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.names import shown


def unit_rows(embeddings: ArrayLike, dim: int) -> FloatArray:
    """Rows of length one, (n, E) -> (n, E), little-endian float32. Raises GalleryError for what has no direction."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != dim or len(rows) == 0:
        raise GalleryError(f"embeddings have shape {rows.shape}, this gallery takes (recordings, {dim})")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise GalleryError("an embedding is all zeros or not finite: it says nothing about a voice")
    unit: FloatArray = (rows / norms).astype("<f4")
    return unit


def check_limit(limit: int) -> None:
    if limit < 1:
        raise GalleryError(f"limit is {limit}: ask for at least one user")


def check_best(best: int | None) -> int | None:
    if best is not None and best < 1:
        raise GalleryError(f"best is {best}: score by the mean of at least one cosine, or give none for the mean voice")
    return best


def check_grace(grace: timedelta) -> None:
    if not timedelta(0) <= grace <= timedelta(days=3650):
        raise GalleryError(f"a grace time of {grace} is none: give one between 0 and 3650 days")


def check_recordings(recordings: Sequence[bytes | None] | None, num: int, keeps_recordings: bool) -> None:
    if recordings is None:
        return
    if not keeps_recordings:
        raise GalleryError("this gallery keeps no recordings: open it with a key and keep_recordings, or give none")
    given = [recording for recording in recordings if recording is not None]
    if len(recordings) != num or not all(isinstance(recording, bytes) and recording for recording in given):
        raise GalleryError(f"{len(recordings)} recordings for {num} embeddings: give the bytes of one file for each")


def check_enrolled(enrolled: datetime | None, now: datetime) -> datetime:
    """When recordings were first kept, in UTC: now, or a time before. Raises GalleryError for one to come."""
    if enrolled is None:
        return now
    first = _in_utc(enrolled, "the time of enrolment")
    if first > now:
        raise GalleryError(f"the time of enrolment, {first}, is yet to come: is the clock right, here and there?")
    return first


def merged(before: UserDetails, details: UserDetails) -> UserDetails:
    """`details` over those there were: what they say nothing of stays."""
    consent = before.consent if details.consent is None else details.consent
    expires = before.expires if details.expires is None else details.expires
    return UserDetails({**before.metadata, **details.metadata}, consent, expires)


def check_details(details: UserDetails, now: datetime) -> UserDetails:
    """The details with `expires` in UTC. Raises GalleryError for what could not be kept as it is."""
    for key, value in details.metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise GalleryError(f"metadata {key!r}: {value!r} is not text to text")
        _check_unicode("metadata", key + value)
    if not (details.consent is None or isinstance(details.consent, str)):
        raise GalleryError(f"consent is {type(details.consent).__name__}: say it in words")
    _check_unicode("consent", details.consent or "")
    if details.expires is None:
        return details
    expires = _in_utc(details.expires, "the time to expire")
    if expires <= now:
        raise GalleryError(f"the time to expire, {expires}, is over: give one to come, or remove the user")
    return details._replace(expires=expires)


def details_as_json(details: UserDetails) -> bytes:
    """Metadata and consent; the time to expire is kept beside them, to be looked for."""
    return json.dumps({"metadata": dict(details.metadata), "consent": details.consent}).encode()


def details_from_json(text: bytes | None, expires: datetime | None) -> UserDetails:
    held = json.loads(text) if text is not None else {"metadata": {}, "consent": None}
    return UserDetails(held["metadata"], held["consent"], expires)


def as_text(moment: datetime) -> str:
    """UTC, microseconds always, so that text sorts as time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def as_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)


def _check_unicode(what: str, text: str) -> None:
    """Halves of characters would come back joined to others, as another text."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GalleryError(f"{what} {shown(text)} is not valid Unicode text: pass it as UTF-8") from error


def _in_utc(moment: datetime, what: str) -> datetime:
    if moment.utcoffset() is None:
        raise GalleryError(f"{what}, {moment}, has no time zone: say which, such as UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise GalleryError(f"{what}, {moment}, is beyond the calendar: give none instead") from error
