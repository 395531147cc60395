"""The service's questions and answers; what they mean is decided in speaker_id.inference."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Path, Query, Response, UploadFile
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.convertors import StringConvertor, register_url_convertor

from speaker_id import __version__
from speaker_id.contracts import Enrolled, UserDetails
from speaker_id.errors import GalleryError, UnknownUser
from speaker_id.inference.decision import comparison
from speaker_id.inference.gallery_records import check_details, utc_now
from speaker_id.inference.names import encode_name, shown
from speaker_id.service.answers import Refused, declared
from speaker_id.service.schemas import (
    CompareAnswer,
    EmbedAnswer,
    EnrolAnswer,
    HealthAnswer,
    IdentifyAnswer,
    QualityAnswer,
    RemoveAnswer,
    UserAnswer,
    UsersAnswer,
)
from speaker_id.service.security import Opened, guarded
from speaker_id.service.state import State

REPLACED = "�"  # what a server makes of bytes that are not UTF-8


class _AnyText(StringConvertor):
    regex = "(?s:.*)"  # with slashes and line breaks: names are data


register_url_convertor("name", _AnyText())


async def _name(name: Annotated[str, Path(description="The user's name, exactly as enrolled.", max_length=200)]) -> str:
    try:
        encode_name(name)
    except GalleryError as error:
        raise Refused(422, "Malformed", str(error)) from error
    if REPLACED in name:
        raise Refused(422, "Malformed", f"the name {shown(name)} is not valid Unicode text: send it as UTF-8")
    return name


open_to_all, verify, enrol, admin = APIRouter(), guarded("verify"), guarded("enrol"), guarded("admin")
ROUTERS = (open_to_all, verify, enrol, admin)

Recording = Annotated[UploadFile, File(description="A recording: wav, flac, mp3, ogg (vorbis, opus), ...")]
Name = Annotated[str, Depends(_name)]
Threshold = Annotated[float | None, Query(ge=-1, le=1, description="In place of the service's, for this request.")]
Prior = Annotated[float | None, Query(gt=0, lt=1, description="How probable one speaker was before listening.")]


@open_to_all.get("/health", summary="Is the service ready?", responses=declared(500))
async def health(state: Opened) -> HealthAnswer:
    return HealthAnswer(
        status="ok", model=state.embedder.fingerprint, calibrated=state.point.calibrated, version=__version__
    )


@verify.get(
    "/metrics", summary="Counters for Prometheus.", response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
async def metrics(state: Opened) -> Response:
    return Response(state.counters.text(), media_type=CONTENT_TYPE_LATEST)


@verify.post("/compare", summary="Does the same person speak in both recordings?")
async def compare(
    state: Opened, a: Recording, b: Recording, threshold: Threshold = None, prior: Prior = None
) -> CompareAnswer:
    rows, quality = await state.embed([await a.read(), await b.read()])
    first, second = rows.astype(np.float64)
    score = float(np.clip(first @ second, -1.0, 1.0))
    result = comparison(score, state.point_for(threshold), prior or state.settings.prior)
    return CompareAnswer.of(result, quality=quality)


@verify.post("/identify", summary="Which enrolled user speaks, if any?")
async def identify(
    state: Opened,
    recording: Recording,
    threshold: Threshold = None,
    prior: Prior = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many candidates to list.")] = 5,
) -> IdentifyAnswer:
    (row,), quality = await state.embed([await recording.read()])
    result = await state.identify(row, state.point_for(threshold), prior or state.settings.prior, limit)
    return IdentifyAnswer.of(result, quality=quality)


@enrol.put("/users/{name:name}/recordings", summary="Add recordings to a user, new or known: all of them or none.")
async def add_recordings(
    state: Opened,
    name: Name,
    recordings: Annotated[list[UploadFile], File(description="One or more recordings of the user.")],
    consent: Annotated[str | None, Form(max_length=2000, description="Who agreed to what, when.")] = None,
    metadata: Annotated[
        str | None, Form(max_length=10_000, description='A JSON object of texts: {"site": "B"}')
    ] = None,
    expires: Annotated[datetime | None, Form(description="From then on the user is not found, and erased.")] = None,
) -> EnrolAnswer:
    """`consent`, `metadata` and `expires` together replace those there were; without any of them those stay."""
    if len(recordings) > state.settings.max_recordings:
        raise Refused(422, "TooMany", f"at most {state.settings.max_recordings} recordings are enrolled at once")
    details = _details(consent, metadata, expires)
    rows, quality = await state.embed([await upload.read() for upload in recordings])
    kept = await state.stored(state.gallery.enrol, name, rows, details=details)
    shown_quality = [QualityAnswer.of(one) for one in quality]
    return EnrolAnswer(user=name, num_recordings_added=len(rows), num_recordings=kept, quality=shown_quality)


@enrol.get("/users", summary="Who is enrolled, by name.")
async def users(
    state: Opened,
    after: Annotated[str, Query(description="List names that come after this one: the last of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to list.")] = 1000,
) -> UsersAnswer:
    total, found = await state.stored(_page, state, after, limit)
    return UsersAnswer(total=total, users=[_shown(one) for one in found])


@admin.delete("/users/{name:name}", summary="Erase a user with all voiceprints.", responses=declared(404))
async def remove(state: Opened, name: Name) -> RemoveAnswer:
    if not await state.stored(state.gallery.remove, name):
        raise UnknownUser(f"nobody called {shown(name)} is enrolled: names must match exactly")
    return RemoveAnswer(user=name, removed=True)


@admin.post("/embed", summary="The voiceprint itself; off unless the operator allows it.")
async def embed(state: Opened, recording: Recording) -> EmbedAnswer:
    if not state.settings.allow_embed:
        raise Refused(403, "NotAllowed", "this service gives no voiceprints away; its operator may allow it")
    (row,), _ = await state.embed([await recording.read()])
    return EmbedAnswer(embedding=row.tolist(), fingerprint=state.embedder.fingerprint)


def _page(state: State, after: str, limit: int) -> tuple[int, list[Enrolled]]:
    names = state.gallery.users()
    wanted = [name for name in names if name > after][:limit]
    found = [state.gallery.enrolled(name) for name in wanted]
    return len(names), [one for one in found if one is not None]  # None: removed since


def _shown(one: Enrolled) -> UserAnswer:
    return UserAnswer(
        user=one.user, num_recordings=one.num_recordings, enrolled=one.enrolled, expires=one.details.expires
    )


def _details(consent: str | None, metadata: str | None, expires: datetime | None) -> UserDetails | None:
    if consent is None and metadata is None and expires is None:
        return None
    if expires is not None and expires.utcoffset() is None:
        expires = expires.replace(tzinfo=UTC)
    try:
        return check_details(UserDetails(_texts(metadata or "{}"), consent, expires), utc_now())
    except GalleryError as error:
        raise Refused(422, "Malformed", str(error)) from error


def _texts(text: str) -> dict[str, str]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(422, "Malformed", f"metadata is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refused(422, "Malformed", 'metadata must be a JSON object of texts, like {"site": "B"}')
    return found
