"""`speaker-id`: speaker recognition for a person with recordings in hand.

Nothing that is imported here imports torch, which takes seconds: commands that need a model import it themselves.
"""

import io
import sys
import traceback
from typing import Annotated

import typer

from speaker_id import __version__
from speaker_id.cli import (
    conversation,
    enrolling,
    evaluating,
    gallery,
    microphone,
    models,
    moving,
    recognising,
    serving,
)
from speaker_id.cli.frame import FAILED

HELP = """Who is speaking? Compare voices, enrol users, identify them.

\b
Exit codes:
  0  yes, or done       1  no: another speaker, nobody, an unknown user
  2  wrong usage        3  it failed (unreadable recording, wrong model, ...)

\b
Example:
  speaker-id pretrained get campplus-zh-en
  speaker-id enrol Ada ada-1.wav ada-2.wav
  speaker-id identify somebody.wav
"""

app = typer.Typer(
    name="speaker-id",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (recognising.compare, enrolling.enrol, recognising.identify, enrolling.remove, enrolling.users):
    app.command()(command)
app.command("import")(moving.import_users)
app.command()(moving.export_gallery)
app.command()(microphone.record)
app.command()(conversation.interactive)
app.command()(serving.serve)
app.add_typer(serving.keys, name="keys")
app.add_typer(models.pretrained, name="pretrained")
app.add_typer(gallery.gallery_app, name="gallery")
app.command("compare-runs")(evaluating.compare_runs)
app.command()(evaluating.demo)


def main() -> None:
    """Entry point. A bug ends like any failure: Python's own exit code, 1, would say no."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show is no reason to fail
    try:
        app(prog_name="speaker-id")
    except Exception:  # noqa: BLE001  # it is printed with its traceback, as it would be without us
        traceback.print_exc()
        raise SystemExit(FAILED) from None


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
