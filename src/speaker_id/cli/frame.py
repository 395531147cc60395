"""What all commands share: options, answers in words or JSON, exit codes, and errors in one line."""

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from speaker_id.errors import SpeakerIdError
from speaker_id.pretrained import catalogue

if TYPE_CHECKING:
    from speaker_id.contracts import Gallery
    from speaker_id.inference.quality import QualityLimits
    from speaker_id.inference.results import Comparison, Identification

YES, NO, FAILED = 0, 1, 3  # 2 is the command-line parser's

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name, exactly as enrolled.", show_default=False)]


def pretrained_names() -> list[str]:
    """Completes the names of models that can be fetched."""
    return list(catalogue.MODELS)


Model = Annotated[
    str | None,
    typer.Option(
        autocompletion=pretrained_names,
        help="Run folder, checkpoint, bundle, or a pretrained model's name.",
        envvar="SPEAKER_ID_MODEL",
        show_default=False,
    ),
]
GalleryFile = Annotated[
    str, typer.Option(help="File, or postgresql:// URL, that keeps the users.", envvar="SPEAKER_ID_GALLERY")
]
GalleryKey = Annotated[
    str | None,
    typer.Option(
        help="Key of an encrypted gallery: a file that holds it, or env:NAME.",
        envvar="SPEAKER_ID_GALLERY_KEY",
        show_default=False,
    ),
]
Best = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Score by a user's K best recordings, not by the mean voice.",
        envvar="SPEAKER_ID_BEST",
        min=1,
        show_default=False,
    ),
]
KeepRecordings = Annotated[
    bool,
    typer.Option(
        "--keep-recordings",
        help="Store the recordings, too, encrypted: needs a key.",
        envvar="SPEAKER_ID_KEEP_RECORDINGS",
    ),
]
Grace = Annotated[
    str,
    typer.Option(metavar="DURATION", help="Let a removal be undone so long: 30d, 12h.", envvar="SPEAKER_ID_GRACE"),
]
MinSpeech = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Refuse recordings with less speech than that.", min=0, show_default=False),
]
QualityLimit = Annotated[
    list[str] | None,
    typer.Option(
        "--quality",
        metavar="NAME=VALUE",
        help="Refuse poor recordings: min_snr_db=10, max_clipped=0.01, min_band_hz=5000, min_seconds=2, ...",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Accept from this score on, in place of the model's own threshold.", show_default=False),
]
Prior = Annotated[
    float,
    typer.Option(help="How probable the same speaker was beforehand: for the probability, not for the decision."),
]
Device = Annotated[
    str,
    typer.Option(help="Where the model runs: cpu, cuda, mps.", autocompletion=lambda: ["auto", "cpu", "cuda", "mps"]),
]
AllowUrls = Annotated[
    bool, typer.Option("--allow-urls", help="Fetch recordings that are given as http or https addresses.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

GALLERY = "gallery.db"


@contextmanager
def opened_gallery(location: str, key: str | None, **options: Any) -> Iterator["Gallery"]:
    """A gallery that exists, opened for what needs no model. Raises GalleryError, ConfigError."""
    from speaker_id.inference.galleries import GalleryOptions, open_gallery

    with closing(open_gallery(location, options=GalleryOptions(key=key, **options))) as gallery:
        yield gallery


def limits_of(min_speech: float | None, quality: list[str] | None) -> "QualityLimits":
    """Raises ConfigError for a limit that there is not, or a value that is none."""
    from speaker_id.cli.limits import limits_from_texts

    given = [] if min_speech is None else [f"min_speech_seconds={min_speech}"]
    return limits_from_texts([*given, *(quality or [])])


def check_files(files: Sequence[str], allow_urls: bool) -> None:
    """Raise AudioError for what is no recording, before the seconds that loading a model takes; fetch nothing."""
    from speaker_id import audio

    for file in files:
        if not (allow_urls and audio.is_url(file)):
            audio.info(file)


def os_user() -> str:
    """Who runs the command, for a gallery's audit log."""
    try:
        return f"user {getpass.getuser()}"
    except (OSError, KeyError):  # a container may know no name for whom it runs as
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "user unknown"


def as_fields(result: "Identification") -> dict[str, Any]:
    """For JSON: candidates by name, not by place."""
    return {**asdict(result), "candidates": [match._asdict() for match in result.candidates]}


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
