"""Compare two recordings, or ask who of the users speaks."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from speaker_id.cli.frame import (
    GALLERY,
    NO,
    YES,
    Device,
    GalleryFile,
    Json,
    Model,
    Prior,
    Threshold,
    answer,
    errors,
    evidence,
)
from speaker_id.inference.galleries import open_gallery
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A recording.", show_default=False)],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another recording.", show_default=False)],
    *,
    model: Model = None,
    threshold: Threshold = None,
    prior: Prior = 0.5,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Are two recordings of the same speaker?

    Example: speaker-id compare monday.wav tuesday.wav --model runs/my-run
    """
    with errors(as_json):
        found = model_path(model)
        from speaker_id.inference.recognizer import Recognizer

        result = Recognizer.load(found, threshold=threshold, device=device).compare(a, b, prior=prior)
    verdict = "same speaker" if result.accepted else "different speakers"
    lines = [f"{verdict}: {result.reason} ({result.threshold_source})", *evidence(result)]
    answer("\n".join(lines), asdict(result), as_json, YES if result.accepted else NO)


def identify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.", show_default=False)],
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    threshold: Threshold = None,
    prior: Prior = 0.5,
    limit: Annotated[int, typer.Option(help="How many candidates to list.", min=1)] = 5,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Which enrolled user is speaking, if any?

    Example: speaker-id identify somebody.wav --model runs/my-run
    """
    with errors(as_json):
        found = model_path(model)
        open_gallery(gallery).close()  # a question must not create a gallery where there is none
        from speaker_id.inference.recognizer import Recognizer

        with Recognizer.load(found, gallery=gallery, threshold=threshold, device=device) as recognizer:
            result = recognizer.identify(file, limit=limit, prior=prior)
    who = "nobody" if result.user is None else shown(result.user)
    lines = [f"{who}: {result.reason} (threshold {result.threshold:.4f}: {result.threshold_source})"]
    lines += evidence(result)
    lines += [f"  {match.score:7.4f}  {shown(match.user)}" for match in result.candidates]
    fields = {**asdict(result), "candidates": [match._asdict() for match in result.candidates]}
    answer("\n".join(lines), fields, as_json, NO if result.user is None else YES)
