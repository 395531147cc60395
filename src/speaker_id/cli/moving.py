"""Bring users in from elsewhere, and take a whole gallery along."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from speaker_id.cli.frame import (
    GALLERY,
    NO,
    YES,
    Best,
    Device,
    GalleryFile,
    GalleryKey,
    Json,
    KeepRecordings,
    Model,
    answer,
    errors,
    opened_gallery,
    os_user,
)
from speaker_id.contracts import Gallery, as_path
from speaker_id.inference.galleries import GalleryOptions, is_database, open_gallery, shown_location
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
    gallery_key: GalleryKey = None,
    keep_recordings: KeepRecordings = False,
    best: Best = None,
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
        target = _Target(
            gallery, GalleryOptions(key=gallery_key, best=best, keep_recordings=keep_recordings), dry_run, stack
        )
        if source.is_dir():
            outcomes, ignored = _from_folder(source, model_path(model), target, device, add)
        else:
            outcomes, ignored = _from_export(source, target, add), ()
        found = []
        for outcome in outcomes:
            found.append(outcome)
            if not as_json:
                typer.echo(outcome_line(outcome))
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
    gallery_key: GalleryKey = None,
    with_recordings: Annotated[
        bool, typer.Option("--with-recordings", help="Also the recordings that the gallery keeps, unencrypted.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write all users into one portable file.

    It holds names, details and embeddings. It is not encrypted, but readable by you alone, and noted: whoever removes
    a user is told of it. `speaker-id import FILE` reads it, into a gallery of the same model.

    Example: speaker-id export-gallery voices.safetensors
    """
    with errors(as_json):
        refuse_existing(file, replace=force)
        with opened_gallery(gallery, gallery_key) as opened:
            num_users, num_recordings = write_export(
                opened, file, with_recordings=with_recordings, replace=force, by=os_user()
            )
    text = f"exported {num_users} users with {num_recordings} recordings into {file}: it is not encrypted"
    fields = {"file": str(file), "num_users": num_users, "num_recordings": num_recordings}
    answer(text, fields, as_json, YES)


class _Target(NamedTuple):
    """Where users are to be taken in."""

    gallery: str
    options: GalleryOptions
    dry_run: bool
    stack: ExitStack  # closes it

    def opened(self, fingerprint: str, dim: int) -> Gallery | None:
        """The gallery, made where there is none; but not by a dry run."""
        if self.dry_run and not is_database(self.gallery) and not as_path(self.gallery).exists():
            return None
        model: dict[str, Any] = {"fingerprint": fingerprint, "dim": dim}
        if self.dry_run and is_database(self.gallery):
            model = {}
        return self.stack.enter_context(closing(open_gallery(self.gallery, options=self.options, **model)))


def _from_folder(
    source: Path, model: Path, target: _Target, device: str, add: bool
) -> tuple[Iterator[Outcome], tuple[Path, ...]]:
    from speaker_id.inference.audio_folder import find_recordings, import_folder

    folder = find_recordings(source)
    from speaker_id import checkpoint
    from speaker_id.inference.embedder import ModelEmbedder
    from speaker_id.inference.recognizer import Recognizer

    loaded = checkpoint.load(model)
    embedder = ModelEmbedder(loaded, device=device)
    opened = target.opened(embedder.fingerprint, embedder.dim)
    recognizer = Recognizer(embedder, gallery=opened, operating_point=loaded.operating_point)
    rate = embedder.sample_rate
    outcomes = import_folder(
        folder.recordings, recognizer, opened, sample_rate=rate, add=add, dry_run=target.dry_run, by=os_user()
    )
    return outcomes, folder.ignored


def _from_export(source: Path, target: _Target, add: bool) -> Iterator[Outcome]:
    export = read_export(source)
    return import_export(
        export, target.opened(export.fingerprint, export.dim), add=add, dry_run=target.dry_run, by=os_user()
    )


def outcome_line(outcome: Outcome) -> str:
    lines = [f"{outcome.verdict:16} {outcome.num_recordings:4}  {shown(outcome.user)}"]
    lines += [f"    {' '.join(reason.split())}" for reason in outcome.reasons]
    return "\n".join(lines + [f"    note: {warning}" for warning in outcome.warnings])
