"""Compare two recordings, or ask who of the users speaks."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speaker_id.cli.frame import (
    FAILED,
    GALLERY,
    NO,
    YES,
    AllowUrls,
    Best,
    Device,
    GalleryFile,
    GalleryKey,
    Json,
    MinSpeech,
    Model,
    Prior,
    QualityLimit,
    Threshold,
    answer,
    as_fields,
    check_files,
    errors,
    evidence,
    limits_of,
    opened_gallery,
)
from speaker_id.errors import AudioError
from speaker_id.inference.names import shown
from speaker_id.pretrained.catalogue import model_path

if TYPE_CHECKING:
    from speaker_id.inference.recognizer import Recognizer
    from speaker_id.inference.results import Identification

AT_ONCE = 16  # recordings in memory


def compare(
    a: Annotated[str, typer.Argument(metavar="A", path_type=str, help="A recording.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", path_type=str, help="Another recording.", show_default=False)],
    *,
    model: Model = None,
    threshold: Threshold = None,
    prior: Prior = 0.5,
    min_speech: MinSpeech = None,
    quality: QualityLimit = None,
    allow_urls: AllowUrls = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Are two recordings of the same speaker?

    Example: speaker-id compare monday.wav tuesday.wav --model runs/my-run
    """
    with errors(as_json):
        _check(prior, threshold)
        limits = limits_of(min_speech, quality)
        check_files([a, b], allow_urls)
        found = model_path(model)
        from speaker_id.inference.recognizer import Recognizer

        loaded = Recognizer.load(found, threshold=threshold, device=device, limits=limits, allow_urls=allow_urls)
        result = loaded.compare(a, b, prior=prior)
    verdict = "same speaker" if result.accepted else "not accepted as the same speaker"
    lines = [f"{verdict}: {result.reason} ({result.threshold_source})", *evidence(result)]
    answer("\n".join(lines), asdict(result), as_json, YES if result.accepted else NO)


def identify(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILES", path_type=str, help="A recording, or several.", show_default=False),
    ],
    *,
    model: Model = None,
    gallery: GalleryFile = GALLERY,
    gallery_key: GalleryKey = None,
    best: Best = None,
    threshold: Threshold = None,
    min_margin: Annotated[
        float | None,
        typer.Option(help="Name nobody whose score is not so much over the next user's.", show_default=False),
    ] = None,
    gallery_size_rule: Annotated[
        bool | None,
        typer.Option(help="Raise the threshold for the number of users; usual where the model is calibrated for it."),
    ] = None,
    prior: Prior = 0.5,
    limit: Annotated[int, typer.Option(help="How many candidates to list.", min=1)] = 5,
    min_speech: MinSpeech = None,
    quality: QualityLimit = None,
    allow_urls: AllowUrls = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Which enrolled user is speaking, if any?

    Of several recordings each gets a line, or its place in a JSON list. Exit
    code 1 says that one was nobody's, 3 that one could not be used.

    Example: speaker-id identify somebody.wav --model runs/my-run
    """
    with errors(as_json):
        _check(prior, threshold, min_margin)
        limits = limits_of(min_speech, quality)
        if len(files) == 1:
            check_files(files, allow_urls)
        found = model_path(model)
        with opened_gallery(gallery, gallery_key, best=best) as opened:  # a question makes none where there is none
            from speaker_id.inference.recognizer import Recognizer

            recognizer = Recognizer.load(
                found, gallery=opened, threshold=threshold, device=device, limits=limits, allow_urls=allow_urls
            )
            options: dict[str, Any] = {
                "limit": limit, "prior": prior, "min_margin": min_margin, "gallery_size_rule": gallery_size_rule,
            }  # fmt: skip
            if len(files) > 1:
                _answer_each(files, recognizer, options, as_json)
            result = recognizer.identify(files[0], **options)
    lines = [f"{_verdict(result)} (threshold {result.threshold:.4f}: {result.threshold_source})"]
    lines += evidence(result)
    lines += [f"  {match.score:7.4f}  {shown(match.user)}" for match in result.candidates]
    answer("\n".join(lines), as_fields(result), as_json, _code(result))


def _check(prior: float, threshold: float | None, min_margin: float | None = None) -> None:
    """Before the seconds that loading a model takes."""
    from speaker_id.inference.decision import check_margin, check_prior, check_threshold

    check_prior(prior)
    check_margin(min_margin)
    if threshold is not None:
        check_threshold(threshold)


def _answer_each(files: Sequence[str], recognizer: "Recognizer", options: dict[str, Any], as_json: bool) -> None:
    """One line for each recording as soon as it is known, or one JSON list; ends the command."""
    found, code = [], YES
    for file, result in _each(files, recognizer, options):
        code = max(code, _code(result))
        if isinstance(result, AudioError):
            found.append({"file": file, "error": str(result), "type": type(result).__name__})
            line = f"error: {' '.join(str(result).split())}"
        else:
            found.append({"file": file, **as_fields(result)})
            line = _verdict(result)
        if not as_json:
            typer.echo(f"{shown(file, 200)}: {line}")
    if as_json:
        typer.echo(json.dumps(found))
    raise typer.Exit(code)


def _each(
    files: Sequence[str], recognizer: "Recognizer", options: dict[str, Any]
) -> "Iterator[tuple[str, Identification | AudioError]]":
    """Some at once; one by one where one of them cannot be used."""
    for first in range(0, len(files), AT_ONCE):
        some = files[first : first + AT_ONCE]
        try:
            found: list[Identification | AudioError] = [*recognizer.identify_many(some, **options)]
        except AudioError:
            found = [_one(file, recognizer, options) for file in some]
        yield from zip(some, found, strict=True)


def _one(file: str, recognizer: "Recognizer", options: dict[str, Any]) -> "Identification | AudioError":
    try:
        return recognizer.identify(file, **options)
    except AudioError as error:
        return error


def _verdict(result: "Identification") -> str:
    return f"{'nobody' if result.user is None else shown(result.user)}: {result.reason}"


def _code(result: "Identification | AudioError") -> int:
    if isinstance(result, AudioError):
        return FAILED
    return NO if result.user is None else YES
