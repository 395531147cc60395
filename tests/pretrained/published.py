"""Published weights in the cache, and real speech to use them on."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from speaker_id import audio, build, metrics, scoring
from speaker_id.model.embedding import EmbeddingModel
from speaker_id.pretrained.sources import SOURCES, cache_folder, read


def oracle(name: str) -> dict[str, Tensor]:
    """The foreign state dict of one source; the test is skipped where nobody has fetched it."""
    path = cache_folder(os.environ) / f"{name}.pt"
    if not path.is_file():
        pytest.skip(f"no published weights at {path}: `make oracles` fetches them")
    return read(path, SOURCES[name])


def model(overrides: list[str], in_dim: int) -> EmbeddingModel:
    config = build.compose("train", ["data.train_list=train.tsv", *overrides])
    return build.embedding_model(config.model, config.pooling, in_dim).eval()


class Speech(NamedTuple):
    waveforms: list[Tensor]  # each (S,)
    speakers: list[str]


def dev_set(speech: Path, *, per_speaker: int, seconds: float) -> Speech:
    """The beginnings of the first recordings of each speaker of speechocean/dev: always the same."""
    folders = sorted(path for path in (speech / "speechocean" / "dev").glob("*") if path.is_dir())
    paths = [path for folder in folders for path in sorted(folder.glob("*.flac"))[:per_speaker]]
    if not paths:
        pytest.skip(f"no speechocean/dev in {speech}")
    waveforms = [torch.from_numpy(audio.load(path, 16000)[: int(16000 * seconds)]) for path in paths]
    return Speech(waveforms, [path.parent.name for path in paths])


@torch.no_grad()
def eer(speech: Speech, embed: Callable[[Tensor], Tensor]) -> float:
    """Over all pairs of recordings; `embed` takes (S,) and gives (E,)."""
    rows = scoring.normalise(np.stack([embed(waveform).numpy() for waveform in speech.waveforms]))
    return metrics.eer(*scoring.all_pairs(rows, speech.speakers).trials()).eer
