"""Put users into a gallery, list them, take them out."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from speaker_id.cli.frame import GALLERY, NO, YES, Device, GalleryFile, Json, Model, Name, answer, errors
from speaker_id.inference.galleries import open_gallery, shown_location
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path


def enrol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name: any text.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Recordings of the user.", show_default=False)],
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Add recordings to a user, new or known.

    All of them are kept, or none if one cannot be used.

    Example: speaker-id enrol Ada ada-1.wav ada-2.wav --model runs/my-run
    """
    with errors(as_json):
        found = model_path(model)
        from speaker_id.inference.recognizer import Recognizer

        with Recognizer.load(found, gallery=gallery, device=device) as recognizer:
            result = recognizer.enrol(name, *files)
    added, kept = result.num_recordings_added, result.num_recordings
    text = f"enrolled {shown(name)}: {added} added, {kept} kept in {shown_location(gallery)}"
    for warning in () if as_json else result.warnings:
        typer.echo(f"note: {warning}", err=True)
    answer(text, vars(result), as_json, YES)


def remove(name: Name, *, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Delete a user with all embeddings, for good.

    Example: speaker-id remove Ada
    """
    with errors(as_json), closing(open_gallery(gallery)) as opened:
        removed = opened.remove(name)
    where = shown_location(gallery)
    text = f"removed {shown(name)}" if removed else f"nobody called {shown(name)} is enrolled in {where}"
    answer(text, {"user": name, "removed": removed}, as_json, YES if removed else NO)


def users(*, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """List the users and how many recordings are kept of each.

    Example: speaker-id users --gallery gallery.db
    """
    with errors(as_json), closing(open_gallery(gallery)) as opened:
        enrolled = opened.users()
    lines = [f"{count:6}  {shown(user)}" for user, count in enrolled.items()]
    answer("\n".join(lines) or f"nobody is enrolled in {shown_location(gallery)}", {"users": enrolled}, as_json, YES)
