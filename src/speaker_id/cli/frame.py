"""What all commands share: options, answers in words or JSON, exit codes, and errors in one line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from speaker_id.errors import SpeakerIdError

if TYPE_CHECKING:
    from speaker_id.inference.results import Comparison, Identification

YES, NO, FAILED = 0, 1, 3  # 2 is the command-line parser's

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name, exactly as enrolled.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option(
        help="Run folder, checkpoint, bundle, or a pretrained model's name.",
        envvar="SPEAKER_ID_MODEL",
        show_default=False,
    ),
]
GalleryFile = Annotated[
    str, typer.Option(help="File, or postgresql:// URL, that keeps the users.", envvar="SPEAKER_ID_GALLERY")
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Accept from this score on, in place of the model's own threshold.", show_default=False),
]
Prior = Annotated[
    float,
    typer.Option(help="How probable the same speaker was beforehand: for the probability, not for the decision."),
]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

GALLERY = "gallery.db"


def answer(text: str, fields: dict[str, Any], as_json: bool, code: int) -> NoReturn:
    typer.echo(json.dumps(fields) if as_json else text)
    raise typer.Exit(code)


@contextmanager
def errors(as_json: bool) -> Iterator[None]:
    """Our own errors end the command with one line; anything else is a bug and keeps its traceback."""
    try:
        yield
    except SpeakerIdError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error), "type": type(error).__name__}))
        else:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(FAILED) from None


def evidence(result: "Comparison | Identification") -> list[str]:
    """What the score is worth, where the model is calibrated."""
    if result.llr is None or result.probability is None:
        return []
    return [f"  llr {result.llr:.2f}, probability {percent(result.probability)} at a prior of {result.prior:g}"]


def percent(probability: float) -> str:
    """Nobody's calibration knows the difference between 99.95 % and certainty."""
    if probability > 0.9995:
        return "over 99.9 %"
    return "under 0.1 %" if probability < 0.0005 else f"{probability:.1%}".replace("%", " %")
