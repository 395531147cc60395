"""Models that others have trained, by name: which there are, where they lie, and how they decide. Needs no torch."""

import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from speaker_id.contracts import OperatingPoint
from speaker_id.errors import CheckpointError
from speaker_id.pretrained.sources import SOURCES, cache_folder

DEFAULT = "campplus-zh-en"
POINTS = Path(__file__).with_name("points.yaml")
ABOUT = "ABOUT.txt"  # beside the weights: where they come from; written last


class Entry(NamedTuple):
    """How foreign weights become a model of ours."""

    about: str  # in words, for people who choose
    overrides: tuple[str, ...]  # of the train config: the feature and the model


MODELS = {
    "campplus-zh-en": Entry(
        "CAM++, Chinese and English, 192 numbers a voice: the better one",
        ("feature=fbank", "feature.window=povey", "model=campplus", "model.projection.dim=192"),
    ),
    "dvector-ge2e": Entry(
        "GE2E d-vector, English, 256 numbers a voice: small and fast",
        (
            "feature=mel", "feature.n_mels=40", "feature.n_fft=400", "feature.f_min=0.0", "feature.mel_scale=slaney",
            "feature.normalise=none", "feature.loudness_db=-30.0", "model=dvector",
        ),
    ),
}  # fmt: skip


def known(name: str) -> Entry:
    if name not in MODELS:
        raise CheckpointError(f"there is no pretrained model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def folder_of(name: str) -> Path:
    """Where the bundle of that name lies, or will."""
    return cache_folder(os.environ).parent / "models" / name


def is_fetched(name: str) -> bool:
    return (folder_of(name) / ABOUT).is_file()


def description(name: str) -> str:
    """Origin, licence and checksum in words."""
    source, point = SOURCES[name], operating_point(name)
    decides = "not calibrated" if point is None else f"threshold {point.threshold:.4f}: {point.source}"
    return (
        f"{name}: {MODELS[name].about}\norigin: {source.origin}\nlicence: {source.licence}\n"
        f"taken out of: {source.requirement} (SHA-256 {source.sha256})\noperating point: {decides}\n"
    )


def model_path(given: str | os.PathLike[str] | None) -> Path:
    """What a user means by a model: a path that exists, a pretrained model's name, or by nothing at all the default.

    Raises CheckpointError for what is not there, with the command that fetches a pretrained one.
    """
    if given is not None and (path := Path(given).expanduser()).exists():
        return path
    if given is not None and str(given) not in MODELS:
        raise CheckpointError(
            f"{given}: no such file or folder; give a run folder, a .ckpt file, a bundle, or a pretrained model's "
            f"name: {', '.join(MODELS)}"
        )
    name = DEFAULT if given is None else str(given)
    if not is_fetched(name):
        asked = "no model is given" if given is None else f"the model {name} is not fetched yet"
        raise CheckpointError(
            f"{asked}: fetch it with `speaker-id pretrained get {name}` (once, {SOURCES[name].megabytes} MB), or "
            "name a run folder or bundle of your own"
        )
    return folder_of(name)


def operating_point(name: str) -> OperatingPoint | None:
    """The calibrated decision that ships with a bundle; None where there is none yet."""
    point = _points().get(name)
    return None if point is None else OperatingPoint(**point["operating_point"])


@cache
def _points() -> dict[str, dict[str, Any]]:
    points: dict[str, dict[str, Any]] = yaml.safe_load(POINTS.read_text(encoding="utf-8"))
    return points
