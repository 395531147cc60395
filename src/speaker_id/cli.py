"""`speaker-id`: speaker recognition for a person with recordings in hand."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from speaker_id import __version__
from speaker_id.errors import SpeakerIdError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.names import shown

# Nothing above imports torch, which takes seconds: commands that need a model import the Recognizer themselves.

YES, NO, FAILED = 0, 1, 3  # 2 is the command-line parser's

HELP = """Who is speaking? Compare voices, enrol users, identify them.

\b
Exit codes:
  0  yes, or done       1  no: another speaker, nobody, an unknown user
  2  wrong usage        3  it failed (unreadable recording, wrong model, ...)

\b
Example:
  export SPEAKER_ID_MODEL=runs/my-run
  speaker-id enrol Ada ada-1.wav ada-2.wav
  speaker-id identify somebody.wav
"""

app = typer.Typer(
    name="speaker-id",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name, exactly as enrolled.", show_default=False)]
Model = Annotated[
    Path,
    typer.Option(help="Run folder, checkpoint or bundle folder.", envvar="SPEAKER_ID_MODEL", show_default=False),
]
GalleryFile = Annotated[Path, typer.Option(help="File that keeps the users.", envvar="SPEAKER_ID_GALLERY")]
Threshold = Annotated[
    float | None,
    typer.Option(help="Accept from this score on, in place of the model's own threshold.", show_default=False),
]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

GALLERY = Path("gallery.db")


def main() -> None:
    """Entry point."""
    app(prog_name="speaker-id")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"speaker-id {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A recording.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another recording.", show_default=False)],
    *,
    model: Model,
    threshold: Threshold = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Are two recordings of the same speaker?

    Example: speaker-id compare monday.wav tuesday.wav --model runs/my-run
    """
    from speaker_id.inference.recognizer import Recognizer

    with _errors(as_json):
        result = Recognizer.load(model, threshold=threshold, device=device).compare(a, b)
    verdict, sign = ("same speaker", ">=") if result.accepted else ("different speakers", "<")
    text = f"{verdict}: score {result.score:.4f} {sign} threshold {result.threshold:.4f} ({result.threshold_source})"
    _answer(text, vars(result), as_json, YES if result.accepted else NO)


@app.command()
def enrol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The user's name: any text.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Recordings of the user.", show_default=False)],
    *,
    model: Model,
    gallery: GalleryFile = GALLERY,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Add recordings to a user, new or known.

    All of them are kept, or none if one cannot be used.

    Example: speaker-id enrol Ada ada-1.wav ada-2.wav --model runs/my-run
    """
    from speaker_id.inference.recognizer import Recognizer

    with _errors(as_json), Recognizer.load(model, gallery=gallery, device=device) as recognizer:
        result = recognizer.enrol(name, *files)
    text = f"enrolled {shown(name)}: {result.num_recordings_added} added, {result.num_recordings} kept in {gallery}"
    _answer(text, vars(result), as_json, YES)


@app.command()
def identify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)],
    *,
    model: Model,
    gallery: GalleryFile = GALLERY,
    threshold: Threshold = None,
    limit: Annotated[int, typer.Option(help="How many candidates to list.", min=1)] = 5,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Which enrolled user is speaking, if any?

    Example: speaker-id identify somebody.wav --model runs/my-run
    """
    from speaker_id.inference.recognizer import Recognizer

    with _errors(as_json):
        SqliteGallery.open(gallery).close()  # a question must not create a gallery where there is none
        with Recognizer.load(model, gallery=gallery, threshold=threshold, device=device) as recognizer:
            result = recognizer.identify(file, limit=limit)
    who = "nobody" if result.user is None else shown(result.user)
    lines = [f"{who}: {result.reason} (threshold {result.threshold:.4f}: {result.threshold_source})"]
    lines += [f"  {match.score:7.4f}  {shown(match.user)}" for match in result.candidates]
    fields = {**vars(result), "candidates": [match._asdict() for match in result.candidates]}
    _answer("\n".join(lines), fields, as_json, NO if result.user is None else YES)


@app.command()
def remove(name: Name, *, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """Delete a user with all embeddings, for good.

    Example: speaker-id remove Ada
    """
    with _errors(as_json), SqliteGallery.open(gallery) as opened:
        removed = opened.remove(name)
    text = f"removed {shown(name)}" if removed else f"nobody called {shown(name)} is enrolled in {gallery}"
    _answer(text, {"user": name, "removed": removed}, as_json, YES if removed else NO)


@app.command()
def users(*, gallery: GalleryFile = GALLERY, as_json: Json = False) -> None:
    """List the users and how many recordings are kept of each.

    Example: speaker-id users --gallery gallery.db
    """
    with _errors(as_json), SqliteGallery.open(gallery) as opened:
        enrolled = opened.users()
    lines = [f"{count:6}  {shown(user)}" for user, count in enrolled.items()]
    _answer("\n".join(lines) or f"nobody is enrolled in {gallery}", {"users": enrolled}, as_json, YES)


@app.command()
def demo(
    *,
    folder: Annotated[Path, typer.Option(help="Where to keep the voices and the model.")] = Path("demo"),
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Start over, even if the folder is complete.")] = False,
    epochs: Annotated[
        int | None, typer.Option(help="Train this long instead of the usual.", min=1, show_default=False)
    ] = None,
) -> None:
    """Train a small model on synthetic voices and try it.

    Example: speaker-id demo --folder demo
    """
    from speaker_id.demo import run_demo

    with _errors(as_json=False):
        run_demo(folder, rebuild=rebuild, epochs=epochs)


def _answer(text: str, fields: dict[str, Any], as_json: bool, code: int) -> NoReturn:
    typer.echo(json.dumps(fields) if as_json else text)
    raise typer.Exit(code)


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Our own errors end the command with one line; anything else is a bug and keeps its traceback."""
    try:
        yield
    except SpeakerIdError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error), "type": type(error).__name__}))
        else:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(FAILED) from None
