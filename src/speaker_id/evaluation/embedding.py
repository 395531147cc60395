"""Recordings -> unit embeddings: of the whole recording, of crops averaged, or of both."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
import rich
import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional

from speaker_id import scoring
from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import FloatArray
from speaker_id.data.dataset import EvaluationDataset, Transform
from speaker_id.data.lists import DataList
from speaker_id.data.speech_search import find_speech
from speaker_id.errors import ConfigError
from speaker_id.inference.embedder import usable_device
from speaker_id.inference.extraction import embed_dataset, table_of
from speaker_id.model.embedding import deployed

KINDS = ("whole", "crops", "both")


class Crop(NamedTuple):
    """Which stretches of a recording are embedded; with `both`, the whole and the crops' mean weigh the same.

    Several crops a recording, evenly spaced from its first sample to its last, are a habit of the field since Chung,
    Nagrani & Zisserman, "VoxCeleb2: Deep Speaker Recognition", 2018; a recording not longer than one is taken whole.
    """

    kind: str  # of KINDS
    seconds: float
    num: int

    def __str__(self) -> str:
        crops = f"{self.num} crops of {self.seconds:g} s"
        return {"whole": "whole recordings", "crops": crops, "both": f"whole recordings and {crops}"}[self.kind]


class HowToEmbed(NamedTuple):
    """The options of conf/eval.yaml that `embed` needs."""

    device: str
    min_seconds: float
    max_seconds: float
    batch_seconds: float
    num_workers: int
    crop: Crop

    def checked(self) -> "HowToEmbed":
        """Itself; raises ConfigError for crops that do not exist or are too short for a model."""
        crop = self.crop
        if crop.kind not in KINDS:
            raise ConfigError(f"crop.kind={crop.kind} does not exist; there are: {', '.join(KINDS)}")
        if crop.kind != "whole" and not (crop.seconds >= self.min_seconds and crop.num >= 1):
            raise ConfigError(
                f"crop.seconds={crop.seconds:g} and crop.num={crop.num}: take one crop or more, none shorter than "
                f"data.min_seconds={self.min_seconds:g}"
            )
        return self


class Embedded(NamedTuple):
    """One row a recording, in the list's order."""

    embeddings: FloatArray  # (N, E) unit rows
    seconds: FloatArray  # (N,) of sound that was embedded


class CroppedModel(nn.Module):
    """Whole waveforms of one length -> the mean of their views' unit embeddings: (B, S) -> (B, E).

    All recordings of a batch are cut at the same places, so that an embedding does not depend on its batch mates.
    """

    def __init__(self, feature: nn.Module, embedding_model: nn.Module, crop: Crop) -> None:
        super().__init__()
        self.feature = feature
        self.embedding_model = deployed(embedding_model)
        self.crop = crop
        self.crop_samples = round(crop.seconds * cast(int, feature.sample_rate))

    def forward(self, waveforms: Tensor) -> Tensor:
        num_samples = waveforms.shape[-1]
        if self.crop.kind == "whole" or num_samples <= self.crop_samples:
            return self._embed(waveforms)
        starts = np.linspace(0, num_samples - self.crop_samples, self.crop.num).round().astype(int)
        mean = torch.stack([self._embed(waveforms[:, at : at + self.crop_samples]) for at in starts]).mean(dim=0)
        if self.crop.kind == "crops":
            return mean
        return (self._embed(waveforms) + functional.normalize(mean, dim=-1)) / 2

    def _embed(self, waveforms: Tensor) -> Tensor:
        embeddings: Tensor = self.embedding_model(self.feature(waveforms))
        return functional.normalize(embeddings.float(), dim=-1)


def embed(
    loaded: LoadedModel,
    data: DataList,
    how: HowToEmbed,
    *,
    transform: Transform | None = None,
    words: str = "embedding",
) -> Embedded:
    """Embed every recording of a list, each through `transform` first if there is one; `words` head the progress bar.

    Raises DataError naming list and row for a recording that cannot be used, ConfigError for options that cannot.
    """
    views = CroppedModel(loaded.feature, loaded.embedding_model, how.crop)
    table, seconds = embedded_table(loaded, data, how, views=views, transform=transform, words=words)
    return Embedded(scoring.normalise(table), seconds)


def embedded_table(
    loaded: LoadedModel,
    data: DataList,
    how: HowToEmbed,
    *,
    views: nn.Module | None = None,
    transform: Transform | None = None,
    words: str = "embedding",
) -> tuple[FloatArray, FloatArray]:
    """Embeddings (N, E) as long as the model, or `views` of its waveforms, makes them, and seconds (N,); as `embed`."""
    sample_rate = cast(int, loaded.feature.sample_rate)
    dataset = EvaluationDataset(
        data,
        sample_rate=sample_rate,
        min_seconds=how.min_seconds,
        max_seconds=how.max_seconds,
        transform=transform,
        speech=None if loaded.vad is None else find_speech(data, loaded.vad, sample_rate=sample_rate),
    )
    batches = embed_dataset(
        loaded if views is None else loaded._replace(feature=nn.Identity(), embedding_model=views),
        dataset,
        device=usable_device(how.device),
        batch_seconds=how.batch_seconds,
        num_workers=how.num_workers,
    )
    table = table_of(_with_progress(batches, len(dataset), words), len(dataset))
    seconds = np.array(dataset.lengths, np.float32) / np.float32(dataset.sample_rate)
    return table, seconds


def _with_progress(
    batches: Iterable[tuple[list[int], FloatArray]], num_rows: int, words: str
) -> Iterator[tuple[list[int], FloatArray]]:
    with Progress(console=rich.get_console()) as progress:
        task = progress.add_task(words, total=num_rows)
        for rows, embeddings in batches:
            yield rows, embeddings
            progress.advance(task, len(rows))
