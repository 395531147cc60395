"""Bring users in from elsewhere, and take a whole gallery along."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from speaker_id.cli.frame import GALLERY, NO, YES, Device, GalleryFile, Json, Model, answer, errors
from speaker_id.contracts import Gallery, as_path
from speaker_id.inference.galleries import is_database, open_gallery, shown_location
from speaker_id.inference.gallery_export import read_export, write_export
from speaker_id.inference.gallery_import import Outcome, import_export
from speaker_id.inference.names import shown
from speaker_id.inference.private_file import refuse_existing
from speaker_id.pretrained.catalogue import model_path


def import_users(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="An audio_db folder, or an exported gallery.", show_default=False)
    ],
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    add: Annotated[bool, typer.Option("--add", help="Add to users who are enrolled already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Enrol everybody from a folder or an exported gallery.

    A folder holds one folder a user (NAME/0.wav, NAME/1.wav, ...) or one
    file a user (NAME.wav). Index files beside them are pickles, which can
    run code: they are never read, nor needed. An exported gallery needs no
    model.

    Each user comes in with all recordings, or not at all if one cannot be
    used. Whoever is enrolled already is left alone. Exit code 1 says that
    somebody stayed out.

    Example: speaker-id import audio_db --model campplus-zh-en
    """
    with errors(as_json), ExitStack() as stack:
        if source.is_dir():
            outcomes, ignored = _from_folder(source, model_path(model), gallery, device, add, dry_run, stack)
        else:
            outcomes, ignored = _from_export(source, gallery, add, dry_run, stack), ()
        found = []
        for outcome in outcomes:
            found.append(outcome)
            if not as_json:
                typer.echo(_line(outcome))
    num = sum(outcome.verdict == "imported" for outcome in found)
    lines = [f"not read: {shown(str(path))}" for path in ignored]
    lines += [f"{num} of {len(found)} users {'would be ' if dry_run else ''}imported into {shown_location(gallery)}"]
    users = [outcome._asdict() for outcome in found]
    fields = {"users": users, "num_imported": num, "dry_run": dry_run, "ignored": [str(path) for path in ignored]}
    answer("\n".join(lines), fields, as_json, YES if num == len(found) else NO)


def export_gallery(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    *,
    gallery: GalleryFile = GALLERY,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write all users into one portable file.

    It holds names, details and embeddings. It is not encrypted, but readable by you alone. `speaker-id import FILE`
    reads it, into a gallery of the same model.

    Example: speaker-id export-gallery voices.safetensors
    """
    with errors(as_json):
        refuse_existing(file, replace=force)
        with closing(open_gallery(gallery)) as opened:
            num_users, num_recordings = write_export(opened, file, replace=force)
    text = f"exported {num_users} users with {num_recordings} recordings into {file}: it is not encrypted"
    fields = {"file": str(file), "num_users": num_users, "num_recordings": num_recordings}
    answer(text, fields, as_json, YES)


def _from_folder(
    source: Path, model: Path, gallery: str, device: str, add: bool, dry_run: bool, stack: ExitStack
) -> tuple[Iterator[Outcome], tuple[Path, ...]]:
    from speaker_id import checkpoint
    from speaker_id.inference.audio_folder import find_recordings, import_folder
    from speaker_id.inference.embedder import ModelEmbedder
    from speaker_id.inference.recognizer import Recognizer

    folder = find_recordings(source)
    loaded = checkpoint.load(model)
    embedder = ModelEmbedder(loaded, device=device)
    opened = _opened(gallery, embedder.fingerprint, embedder.dim, dry_run, stack)
    recognizer = Recognizer(embedder, gallery=opened, operating_point=loaded.operating_point)
    rate = embedder.sample_rate
    outcomes = import_folder(folder.recordings, recognizer, opened, sample_rate=rate, add=add, dry_run=dry_run)
    return outcomes, folder.ignored


def _from_export(source: Path, gallery: str, add: bool, dry_run: bool, stack: ExitStack) -> Iterator[Outcome]:
    export = read_export(source)
    opened = _opened(gallery, export.fingerprint, export.dim, dry_run, stack)
    return import_export(export, opened, add=add, dry_run=dry_run)


def _opened(gallery: str, fingerprint: str, dim: int, dry_run: bool, stack: ExitStack) -> Gallery | None:
    """The gallery, made where there is none; but not by a dry run."""
    if dry_run and not is_database(gallery) and not as_path(gallery).exists():
        return None
    if dry_run and is_database(gallery):
        return stack.enter_context(closing(open_gallery(gallery)))
    return stack.enter_context(closing(open_gallery(gallery, fingerprint=fingerprint, dim=dim)))


def _line(outcome: Outcome) -> str:
    lines = [f"{outcome.verdict:16} {outcome.num_recordings:4}  {shown(outcome.user)}"]
    lines += [f"    {' '.join(reason.split())}" for reason in outcome.reasons]
    return "\n".join(lines + [f"    note: {warning}" for warning in outcome.warnings])
