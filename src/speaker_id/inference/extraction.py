"""Embeddings of whole data lists: workers decode, the model takes equal lengths in batches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from speaker_id import scoring
from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import FloatArray, WaveformBatch
from speaker_id.data.dataset import EvaluationDataset, Item
from speaker_id.data.dataset import collate as collate_items
from speaker_id.data.lengths import equal_length_batches
from speaker_id.errors import CheckpointError, ConfigError, SpeakerIdError
from speaker_id.inference.parts import Part
from speaker_id.inference.recordings import Failure, ReadBatch, Recordings, collate
from speaker_id.model.embedding import deployed


class EmbeddedBatch(NamedTuple):
    """What became of one batch; the rows that failed are not among `rows`."""

    rows: list[int]
    embeddings: FloatArray  # (B, E)
    seconds: float  # of sound that was embedded, the same for each
    failures: list[Failure]


def embed_dataset(
    loaded: LoadedModel,
    dataset: EvaluationDataset,
    *,
    device: torch.device,
    batch_seconds: float,
    num_workers: int,
) -> Iterator[tuple[list[int], FloatArray]]:
    """Yield (rows, embeddings (B, E)) batch by batch, longest recordings first; not normalised."""
    embed = forward_pass(loaded, device)
    batches = equal_length_batches(dataset.lengths, max_batch_samples=round(batch_seconds * dataset.sample_rate))
    loader: DataLoader[Item] = DataLoader(
        dataset, batch_sampler=batches, collate_fn=collate_items, num_workers=num_workers
    )
    batch: WaveformBatch
    for batch in _read(loader):
        yield batch.indices.tolist(), embed(batch.waveforms)


def table_of(batches: Iterator[tuple[list[int], FloatArray]], num_rows: int) -> FloatArray:
    """Put the batches of `embed_dataset` into the order of the list: (N, E)."""
    table: FloatArray | None = None
    for rows, embeddings in batches:
        if table is None:
            table = np.zeros((num_rows, embeddings.shape[1]), np.float32)
        table[rows] = embeddings
    assert table is not None, "a data list is never empty"
    return table


def embed_parts(
    loaded: LoadedModel,
    recordings: Recordings,
    parts: Iterable[range],
    *,
    device: torch.device,
    batch_seconds: float,
    num_workers: int,
    normalise: bool = False,
) -> Iterator[EmbeddedBatch]:
    """Embed stretches of a list, one after the other; with `normalise`, unit rows.

    A batch never reaches over the end of a part, so the numbers of a part are the same whoever embeds it and whatever
    came before. Raises CheckpointError for embeddings that are not finite, ConfigError where a GPU's memory is short.
    """
    embed = forward_pass(loaded, device)
    dim = cast(int, loaded.embedding_model.out_dim)
    planned = recordings.batches(parts, max_batch_samples=round(batch_seconds * recordings.sample_rate))
    loader: DataLoader[tuple[int, FloatArray] | Failure] = DataLoader(
        recordings, batch_sampler=planned, collate_fn=collate, num_workers=num_workers
    )
    batch: ReadBatch
    for batch in _read(loader):
        embeddings = embed(batch.waveforms) if batch.rows else np.zeros((0, dim), np.float32)
        if not np.all(np.isfinite(embeddings)):
            raise CheckpointError("the model gives embeddings that are not finite: its weights are unusable")
        seconds = batch.waveforms.shape[-1] / recordings.sample_rate
        rows = scoring.normalise(embeddings) if normalise and batch.rows else embeddings
        yield EmbeddedBatch(batch.rows, rows, seconds, batch.failures)


def gather(batches: Iterator[EmbeddedBatch], parts: Iterable[range]) -> Iterator[Part]:
    """The batches of `embed_parts` as whole parts, each in the order of the list."""
    for part in parts:
        own: list[EmbeddedBatch] = []
        while sum(len(batch.rows) + len(batch.failures) for batch in own) < len(part):
            own.append(next(batches))
        rows = np.array([row for batch in own for row in batch.rows], np.int64)
        seconds = np.repeat([batch.seconds for batch in own], [len(batch.rows) for batch in own])
        order = np.argsort(rows)
        yield Part(
            rows[order],
            np.concatenate([batch.embeddings for batch in own])[order],
            seconds[order],
            tuple(sorted(failure for batch in own for failure in batch.failures)),
        )


def forward_pass(loaded: LoadedModel, device: torch.device) -> Callable[[Tensor], FloatArray]:
    """Waveforms of one length -> embeddings, not normalised: (B, S) -> (B, E)."""
    feature, model = loaded.feature.to(device), deployed(loaded.embedding_model).to(device)

    @torch.inference_mode()
    def embed(waveforms: Tensor) -> FloatArray:
        try:
            embeddings: Tensor = model(feature(waveforms.to(device)))
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"{device} has too little memory for {len(waveforms)} recordings of {waveforms.shape[-1]} samples at "
                "once: take a smaller data.batch_seconds, and data.max_seconds if it is a single one"
            ) from error
        return cast(FloatArray, embeddings.float().cpu().numpy())

    return embed


def _read(loader: DataLoader[Any]) -> Iterator[Any]:
    """What a loader gives. An error comes without the loader's part of its traceback.

    That part refers to itself and to the loader's iterator, which would live until the garbage collector came, and then
    close a pipe that its own thread is closing at that moment. What a worker's traceback was is in the error's text.
    """
    try:
        yield from loader
    except SpeakerIdError as error:
        raise error.with_traceback(None) from None
