"""Embeddings of a whole data list: workers decode, the model takes equal lengths in batches."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader

from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import FloatArray, WaveformBatch
from speaker_id.data.dataset import EvaluationDataset, Item, collate
from speaker_id.data.lengths import equal_length_batches


@torch.inference_mode()
def embed_dataset(
    loaded: LoadedModel,
    dataset: EvaluationDataset,
    *,
    device: torch.device,
    batch_seconds: float,
    num_workers: int,
) -> Iterator[tuple[list[int], FloatArray]]:
    """Yield (rows, embeddings (B, E)) batch by batch, longest recordings first; not normalised."""
    feature, model = loaded.feature.to(device), loaded.embedding_model.to(device)
    batches = equal_length_batches(dataset.lengths, max_batch_samples=round(batch_seconds * dataset.sample_rate))
    loader: DataLoader[Item] = DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=num_workers)
    batch: WaveformBatch
    for batch in loader:
        embeddings = model(feature(batch.waveforms.to(device)))
        yield batch.indices.tolist(), embeddings.float().cpu().numpy()


def table_of(batches: Iterator[tuple[list[int], FloatArray]], num_rows: int) -> FloatArray:
    """Put the batches of `embed_dataset` into the order of the list: (N, E)."""
    table: FloatArray | None = None
    for rows, embeddings in batches:
        if table is None:
            table = np.zeros((num_rows, embeddings.shape[1]), np.float32)
        table[rows] = embeddings
    assert table is not None, "a data list is never empty"
    return table
