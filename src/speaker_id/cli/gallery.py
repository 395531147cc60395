"""Look after a gallery: its log, its copies, its key, and its move to another model."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speaker_id.cli.frame import (
    GALLERY,
    NO,
    YES,
    Device,
    GalleryFile,
    GalleryKey,
    Json,
    KeepRecordings,
    Name,
    answer,
    errors,
    opened_gallery,
    os_user,
)
from speaker_id.cli.moving import outcome_line
from speaker_id.cli.times import shown_time
from speaker_id.errors import ConfigError
from speaker_id.inference.galleries import (
    BacksUp,
    GalleryOptions,
    RotatesKey,
    is_database,
    open_gallery,
    shown_location,
)
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path

if TYPE_CHECKING:
    from speaker_id.contracts import GalleryEvent

TAG_DIGITS = 12  # of a user's tag, on the terminal

gallery_app = typer.Typer(help="Look after a gallery.", no_args_is_help=True, rich_markup_mode=None)

NewModel = Annotated[
    str,
    typer.Option("--model", help="The new model: run folder, checkpoint, bundle or a name.", show_default=False),
]


@gallery_app.command()
def info(*, gallery: GalleryFile = GALLERY, gallery_key: GalleryKey = None, as_json: Json = False) -> None:
    """Which model's embeddings a gallery holds, and of how many users.

    Example: speaker-id gallery info --gallery gallery.db
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        counts, copies, newest = opened.users(), opened.copies(), opened.events(limit=1)
        fields = {
            "gallery": shown_location(gallery),
            "model": opened.fingerprint,
            "dim": opened.dim,
            "encrypted": gallery_key is not None,
            "num_users": len(counts),
            "num_recordings": sum(counts.values()),
            "num_copies": len(copies),
            "changed": newest[0].time.isoformat() if newest else None,
        }
    lines = [
        f"{fields['num_users']} users with {fields['num_recordings']} recordings in {fields['gallery']}",
        f"  model {opened.fingerprint[:12]}, {opened.dim} numbers a recording",
        f"  {'encrypted' if gallery_key is not None else 'not encrypted'}, {len(copies)} copies known",
        f"  last change {shown_time(newest[0].time)}: {newest[0].action}" if newest else "  never changed",
    ]
    answer("\n".join(lines), fields, as_json, YES)


@gallery_app.command()
def log(
    *,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only what concerns this name.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="How many events, the newest first.", min=1)] = 100,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    as_json: Json = False,
) -> None:
    """Who changed what, and when.

    The log holds no names: tags stand for them, which differ from gallery to
    gallery. Ask for a name with --user, even if that user is gone.

    Example: speaker-id gallery log --user Ada
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        events = opened.events(user=user, limit=limit)
    fields = {"events": [{**event._asdict(), "time": event.time.isoformat()} for event in events]}
    answer("\n".join(map(_line, events)) or "nothing is logged", fields, as_json, YES)


@gallery_app.command()
def restore(
    name: Name, *, gallery: GalleryFile = GALLERY, gallery_key: GalleryKey = None, as_json: Json = False
) -> None:
    """Undo the removal of a user, within the grace time it was made with.

    Example: speaker-id gallery restore Ada
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        restored = opened.restore(name, by=os_user())
    text = f"restored {shown(name)}"
    if not restored:
        text = f"{shown(name)} cannot be restored: nobody of that name was removed within a grace time"
    answer(text, {"user": name, "restored": restored}, as_json, YES if restored else NO)


@gallery_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    *,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Copy a gallery file while it is in use.

    The copy is a gallery of the same key, readable by you alone. It is noted,
    and told to whoever removes a user. To go back to it, stop whatever uses
    the gallery and put the copy in its place.

    Example: speaker-id gallery backup monday.db
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        if not isinstance(opened, BacksUp):
            raise ConfigError("a database is backed up by its own means: do that, and note it by `gallery note-copy`")
        opened.backup(file, replace=force, by=os_user())
    answer(f"copied {shown_location(gallery)} to {file}", {"file": str(file)}, as_json, YES)


@gallery_app.command("note-copy")
def note_copy(
    description: Annotated[
        str, typer.Argument(metavar="TEXT", help="What was copied, and where to.", show_default=False)
    ],
    *,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    as_json: Json = False,
) -> None:
    """Note a copy that was made by other means: a snapshot, a tape.

    Example: speaker-id gallery note-copy 'tape 7, in the safe'
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        opened.record_copy(description, by=os_user())
    answer(f"noted: {shown(description, 200)}", {"description": description}, as_json, YES)


@gallery_app.command("list-copies")
def list_copies(*, gallery: GalleryFile = GALLERY, gallery_key: GalleryKey = None, as_json: Json = False) -> None:
    """Exports and backups: where removed users may still be.

    Example: speaker-id gallery list-copies
    """
    with errors(as_json), opened_gallery(gallery, gallery_key) as opened:
        copies = opened.copies()
    fields = {"copies": [{"time": copy.time.isoformat(), "description": copy.description} for copy in copies]}
    lines = [f"{shown_time(copy.time)}  {shown(copy.description, 200)}" for copy in copies]
    answer("\n".join(lines) or "no copy is known", fields, as_json, YES)


@gallery_app.command("rotate-key")
def rotate_key(
    *,
    old: Annotated[
        str | None,
        typer.Option(
            help="The present key: a file, or env:NAME; none for a gallery that is not encrypted.", show_default=False
        ),
    ] = None,
    new: Annotated[
        str | None, typer.Option(help="The new key: a file of 32 random bytes, or env:NAME.", show_default=False)
    ] = None,
    decrypt: Annotated[bool, typer.Option("--decrypt", help="Go on without any key.")] = False,
    gallery: GalleryFile = GALLERY,
    as_json: Json = False,
) -> None:
    """Encrypt a gallery under another key, or for the first time.

    Everything is sealed anew, all or nothing. Whoever has the gallery open is
    told to open it with the new key. Copies stay under the old one.

    Example: speaker-id gallery rotate-key --old old.key --new new.key
    """
    with errors(as_json):
        if (new is None) != decrypt:
            raise ConfigError("give either --new KEY, or --decrypt to go on without a key")
        with opened_gallery(gallery, old) as opened:
            if not isinstance(opened, RotatesKey):
                raise ConfigError(f"the key of {shown_location(gallery)} cannot be changed")
            opened.rotate_key(old, new, by=os_user())
    text = f"{shown_location(gallery)} is {'not encrypted any more' if decrypt else 'encrypted with the new key'}"
    answer(text, {"gallery": shown_location(gallery), "encrypted": not decrypt}, as_json, YES)


@gallery_app.command()
def reembed(
    new_gallery: Annotated[
        str, typer.Argument(metavar="NEW_GALLERY", help="Made where there is none.", show_default=False)
    ],
    *,
    model: NewModel,
    recordings: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="NAME/0.wav, ... or NAME.wav of users whose recordings were not kept.",
            show_default=False,
        ),
    ] = None,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    new_key: Annotated[
        str | None, typer.Option(help="Key of the new gallery, where it is not that of the old.", show_default=False)
    ] = None,
    keep_recordings: KeepRecordings = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Take the users of a gallery to a new model.

    Embeddings of two models cannot be compared, so each user is embedded again
    from the recordings that the gallery kept, or those in a folder: with
    details and times, and with all recordings or not at all. The old gallery
    stays as it is; a second run goes on with those who are missing. Exit code
    1 says that somebody stayed out.

    Example: speaker-id gallery reembed new.db --model runs/better --recordings audio_db
    """
    with errors(as_json):
        if not is_database(gallery) and Path(new_gallery).absolute() == Path(gallery).absolute():
            raise ConfigError("the new gallery is the old one: give it another place")
        path = model_path(model)
        from speaker_id import checkpoint
        from speaker_id.inference.audio_folder import find_recordings
        from speaker_id.inference.embedder import ModelEmbedder
        from speaker_id.inference.reembedding import reembed as reembedded

        folder = None if recordings is None else find_recordings(recordings).recordings
        with opened_gallery(gallery, gallery_key) as old:
            embedder = ModelEmbedder(checkpoint.load(path), device=device)
            options = GalleryOptions(key=new_key or gallery_key, keep_recordings=keep_recordings)
            made = open_gallery(new_gallery, fingerprint=embedder.fingerprint, dim=embedder.dim, options=options)
            found = []
            with closing(made) as new:
                for outcome in reembedded(old, new, embedder, folder=folder, by=os_user()):
                    found.append(outcome)
                    if not as_json:
                        typer.echo(outcome_line(outcome))
    missing = sum(outcome.verdict == "refused" for outcome in found)
    text = f"{len(found) - missing} of {len(found)} users are in {shown_location(new_gallery)}"
    fields: dict[str, Any] = {"users": [outcome._asdict() for outcome in found], "num_missing": missing}
    answer(text, fields, as_json, NO if missing else YES)


def _line(event: "GalleryEvent") -> str:
    parts = [f"{shown_time(event.time)}  {event.action:10}"]
    if event.user_tag is not None:
        parts.append(f"{event.num_recordings:4} recordings of user {event.user_tag[:TAG_DIGITS]}")
    if event.by is not None:
        parts.append(f"by {shown(event.by, 200)}")
    return "  ".join(parts).rstrip()
