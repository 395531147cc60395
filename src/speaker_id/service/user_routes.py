"""The service's questions about users: enrol, list, change, remove, restore, and what was done to them."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, File, Form, Path, Query, UploadFile
from starlette.convertors import StringConvertor, register_url_convertor

from speaker_id.contracts import Enrolled, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_records import check_details, utc_now
from speaker_id.inference.names import encode_name, not_restorable, shown, unknown_user
from speaker_id.service.answers import Refused, declared
from speaker_id.service.schemas import (
    MAX_CONSENT,
    MAX_METADATA,
    CopyAnswer,
    DetailsChange,
    EnrolAnswer,
    EventAnswer,
    EventsAnswer,
    QualityAnswer,
    RemoveAnswer,
    RestoreAnswer,
    UserAnswer,
    UserDetailsAnswer,
    UsersAnswer,
)
from speaker_id.service.security import Caller, Opened, guarded
from speaker_id.service.state import State

REPLACED = "\ufffd"  # what a server makes of bytes that are not UTF-8


class _AnyText(StringConvertor):
    regex = "(?s:.*)"  # with slashes and line breaks: names are data


register_url_convertor("name", _AnyText())


def _checked_name(name: str) -> str:
    try:
        encode_name(name)
    except GalleryError as error:
        raise Refused(422, "Malformed", str(error)) from error
    if REPLACED in name:
        raise Refused(422, "Malformed", f"the name {shown(name)} is not valid Unicode text: send it as UTF-8")
    return name


async def _name(name: Annotated[str, Path(description="The user's name, exactly as enrolled.", max_length=200)]) -> str:
    return _checked_name(name)


enrol, admin = guarded("enrol"), guarded("admin")
ROUTERS = (enrol, admin)

Name = Annotated[str, Depends(_name)]


@enrol.put(
    "/users/{name:name}/recordings", summary="Add recordings to a user, new or known: all of them or none.",
    responses=declared(409),
)  # fmt: skip
async def add_recordings(
    state: Opened,
    caller: Caller,
    name: Name,
    recordings: Annotated[list[UploadFile], File(description="One or more recordings of the user.")],
    consent: Annotated[str | None, Form(max_length=MAX_CONSENT, description="Who agreed to what, when.")] = None,
    metadata: Annotated[
        str | None, Form(max_length=MAX_METADATA, description='A JSON object of texts: {"site": "B"}')
    ] = None,
    expires: Annotated[datetime | None, Form(description="From then on the user is not found, and erased.")] = None,
    strict: Annotated[bool, Form(description="Keep nothing where it is doubtful who speaks: 409.")] = False,
) -> EnrolAnswer:
    """Consent and expiry replace those there were where they are given; metadata are merged, key by key."""
    if len(recordings) > state.settings.max_recordings:
        raise Refused(422, "TooMany", f"at most {state.settings.max_recordings} recordings are enrolled at once")
    details = None
    if not (consent is None and metadata is None and expires is None):
        details = _checked(UserDetails(_texts(metadata or "{}"), consent, expires))
    heard = await state.hear([await upload.read() for upload in recordings], enrolling=True)
    result = await state.enrol(name, heard, details=details, strict=strict, by=caller)
    shown_quality = [QualityAnswer.of(one) for one in heard.qualities]
    return EnrolAnswer.of(result, keeps_recordings=state.gallery.keeps_recordings, quality=shown_quality)


@enrol.get("/users", summary="Who is enrolled, by name.")
async def users(
    state: Opened,
    after: Annotated[str, Query(description="List names that come after this one: the last of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to list.")] = 1000,
) -> UsersAnswer:
    total, found = await state.stored(_page, state, after, limit)
    return UsersAnswer(
        total=total,
        users=[UserAnswer.of(one, expires=one.details.expires) for one in found],
        grace_seconds=state.grace.total_seconds(),
    )


@enrol.get("/users/{name:name}", summary="What is kept of a user besides voiceprints.", responses=declared(404))
async def user(state: Opened, name: Name) -> UserDetailsAnswer:
    return _shown(await _enrolled(state, name))


@enrol.patch("/users/{name:name}", summary="Change a user's details.", responses=declared(404))
async def change(state: Opened, caller: Caller, name: Name, changes: DetailsChange) -> UserDetailsAnswer:
    """What is not given stays; null takes it away. Metadata are replaced as a whole."""
    given = changes.model_dump(exclude_unset=True)
    if given.get("metadata", {}) is None:
        given["metadata"] = {}
    async with state.changing:  # of two changes of different details both are kept
        before = await _enrolled(state, name)
        kept = before.details._replace(**given)
        if not await state.stored(state.gallery.update, name, _checked(kept), by=caller):
            raise unknown_user(name)
        return _shown(await _enrolled(state, name))


@admin.delete("/users/{name:name}", summary="Erase a user with all voiceprints.", responses=declared(404))
async def remove(state: Opened, caller: Caller, name: Name) -> RemoveAnswer:
    """At once; or, where the service was started with a grace time, after it: until then `restore` undoes it."""
    if not await state.stored(state.gallery.remove, name, by=caller):
        raise unknown_user(name)
    until = utc_now() + state.grace if state.grace else None
    copies = [CopyAnswer.of(copy) for copy in await state.stored(state.gallery.copies)]
    return RemoveAnswer(user=name, removed=True, restorable_until=until, copies=copies)


@admin.post(
    "/users/{name:name}/restore", summary="Undo a removal within the service's grace time.", responses=declared(404)
)
async def restore(state: Opened, caller: Caller, name: Name) -> RestoreAnswer:
    if not await state.stored(state.gallery.restore, name, by=caller):
        raise not_restorable(name)
    return RestoreAnswer(user=name, restored=True)


@admin.get("/events", summary="The audit log, newest first.")
async def events(
    state: Opened,
    user: Annotated[
        str | None, Query(max_length=200, description="Only what was done to this name, removed or not.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to list.")] = 100,
) -> EventsAnswer:
    """It holds no names and no voices: `user_tag` stands for a name, and only who knows the name can ask for it."""
    name = None if user is None else _checked_name(user)
    found = await state.stored(state.gallery.events, user=name, limit=limit)
    return EventsAnswer(events=[EventAnswer.of(event) for event in found])


def _page(state: State, after: str, limit: int) -> tuple[int, list[Enrolled]]:
    names = state.gallery.users()
    wanted = [name for name in names if name > after][:limit]
    found = [state.gallery.enrolled(name) for name in wanted]
    return len(names), [one for one in found if one is not None]  # None: removed since


async def _enrolled(state: State, name: str) -> Enrolled:
    if (found := await state.stored(state.gallery.enrolled, name)) is None:
        raise unknown_user(name)
    return found


def _shown(one: Enrolled) -> UserDetailsAnswer:
    details = one.details
    return UserDetailsAnswer.of(one, metadata=dict(details.metadata), consent=details.consent, expires=details.expires)


def _checked(details: UserDetails) -> UserDetails:
    """Details that can be kept; a time without a zone is in UTC."""
    expires = details.expires
    if expires is not None and expires.utcoffset() is None:
        details = details._replace(expires=expires.replace(tzinfo=UTC))
    try:
        return check_details(details, utc_now())
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
