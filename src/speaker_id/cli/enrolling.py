"""Put users into a gallery, list them, take them out."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speaker_id.cli.frame import (
    GALLERY,
    NO,
    YES,
    AllowUrls,
    Best,
    Device,
    GalleryFile,
    GalleryKey,
    Grace,
    Json,
    KeepRecordings,
    MinSpeech,
    Model,
    Name,
    QualityLimit,
    answer,
    check_files,
    errors,
    limits_of,
    opened_gallery,
    os_user,
)
from speaker_id.cli.times import duration, moment, shown_time
from speaker_id.contracts import Enrolled, UserDetails
from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import GalleryOptions, shown_location
from speaker_id.inference.gallery_records import utc_now
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path

if TYPE_CHECKING:
    from speaker_id.contracts import GalleryCopy


def enrol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name: any text.", show_default=False)],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES", path_type=str, help="Recordings of the user.", show_default=False),
    ],
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    consent: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Who agreed to what, and when.", show_default=False)
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Something to keep of the user; may be repeated.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Forget the user then: 2031-12-31, or 90d from now.", show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Keep nothing where it is doubtful who speaks.")] = False,
    keep_recordings: KeepRecordings = False,
    min_speech: MinSpeech = None,
    quality: QualityLimit = None,
    allow_urls: AllowUrls = False,
    best: Best = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Add recordings to a user, new or known.

    All of them are kept, or none if one cannot be used. Consent, metadata and
    expiry are added to what is known of the user, or replace it.

    Example: speaker-id enrol Ada ada-1.wav ada-2.wav --model runs/my-run
    """
    with errors(as_json):
        details = _details(consent, metadata or [], expires, utc_now())
        limits = limits_of(min_speech, quality)
        check_files(files, allow_urls)
        found = model_path(model)
        from speaker_id.inference.recognizer import Recognizer

        options = GalleryOptions(key=gallery_key, best=best, keep_recordings=keep_recordings)
        with Recognizer.load(
            found, gallery=gallery, gallery_options=options, device=device, limits=limits, allow_urls=allow_urls
        ) as recognizer:
            result = recognizer.enrol(name, *files, details=details, strict=strict, by=os_user())
    added, kept = result.num_recordings_added, result.num_recordings
    text = f"enrolled {shown(name)}: {added} added, {kept} kept in {shown_location(gallery)}"
    for warning in () if as_json else result.warnings:
        typer.echo(f"note: {warning}", err=True)
    answer(text, vars(result), as_json, YES)


def remove(
    name: Name,
    *,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    grace: Grace = "0",
    as_json: Json = False,
) -> None:
    """Delete a user with all embeddings, for good.

    With --grace the user is gone at once, but erased only then; removing the
    user again without it erases at once. Copies that were made before are
    told: whoever keeps them must erase the user there.

    Example: speaker-id remove Ada
    """
    with errors(as_json):
        lasts = duration(grace)
        with opened_gallery(gallery, gallery_key, grace=lasts) as opened:
            removed = opened.remove(name, by=os_user())
            copies = opened.copies() if removed else []
    until = utc_now() + lasts if removed and lasts else None
    fields = {
        "user": name, "removed": removed, "restorable_until": None if until is None else until.isoformat(),
        "copies": [{"time": copy.time.isoformat(), "description": copy.description} for copy in copies],
    }  # fmt: skip
    if not removed:
        answer(f"nobody called {shown(name)} is enrolled in {shown_location(gallery)}", fields, as_json, NO)
    answer("\n".join(_removal(name, until, copies)), fields, as_json, YES)


def users(
    *,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    details: Annotated[bool, typer.Option("--details", help="Also times, consent and metadata.")] = False,
    as_json: Json = False,
) -> None:
    """List the users and how many recordings are kept of each.

    Example: speaker-id users --gallery gallery.db
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        counts = opened.users()
        found = list(filter(None, map(opened.enrolled, counts))) if details else []
    if details:
        fields: dict[str, Any] = {"users": {one.user: _as_fields(one) for one in found}}
        lines = [line for one in found for line in _lines(one)]
    else:
        fields = {"users": counts}
        lines = [f"{count:6}  {shown(user)}" for user, count in counts.items()]
    answer("\n".join(lines) or f"nobody is enrolled in {shown_location(gallery)}", fields, as_json, YES)


def _details(consent: str | None, metadata: Sequence[str], expires: str | None, now: datetime) -> UserDetails | None:
    if consent is None and not metadata and expires is None:
        return None
    pairs = [text.partition("=") for text in metadata]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise ConfigError(f"metadata {wrong[0]!r} says no value: give KEY=VALUE, like department=B")
    until = None if expires is None else moment(expires, now)
    return UserDetails({key: value for key, _, value in pairs}, consent, until)


def _removal(name: str, until: datetime | None, copies: "Sequence[GalleryCopy]") -> list[str]:
    lines = [f"removed {shown(name)}"]
    if until is not None:
        lines[0] += f"; `speaker-id gallery restore` undoes it until {shown_time(until)}, then it is erased"
    return lines + [f"  may still be in: {shown(copy.description, 200)} ({shown_time(copy.time)})" for copy in copies]


def _as_fields(one: Enrolled) -> dict[str, Any]:
    consent, expires = one.details.consent, one.details.expires
    return {
        "num_recordings": one.num_recordings, "enrolled": one.enrolled.isoformat(), "changed": one.changed.isoformat(),
        "expires": None if expires is None else expires.isoformat(), "consent": consent,
        "metadata": dict(one.details.metadata),
    }  # fmt: skip


def _lines(one: Enrolled) -> list[str]:
    known = [f"since {shown_time(one.enrolled)}", f"changed {shown_time(one.changed)}"]
    if one.details.expires is not None:
        known.append(f"until {shown_time(one.details.expires)}")
    lines = [f"{one.num_recordings:6}  {shown(one.user)}", f"        {', '.join(known)}"]
    if one.details.consent is not None:
        lines.append(f"        consent: {shown(one.details.consent, 200)}")
    return lines + [f"        {shown(key)}: {shown(value, 200)}" for key, value in one.details.metadata.items()]
