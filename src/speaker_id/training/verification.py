"""The evaluation at each epoch's end: every pair of validation recordings is a trial."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from speaker_id import metrics, scoring
from speaker_id.contracts import FeatureBatch


class Verification(pl.Callback):
    """Logs val/eer, val/tpr, val/fpr, val/threshold and val/min_dcf, the same on every rank.

    Embeddings of all ranks are gathered and duplicates dropped by row, so that the number of ranks cannot matter.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.parts = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: FeatureBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.parts.append((batch.indices.cpu(), batch.labels.cpu(), outputs.cpu()))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        embeddings, labels = gathered(self.parts)
        pairs = scoring.all_pairs(scoring.normalise(embeddings), labels)
        result = metrics.verification_metrics(*pairs.trials())
        for name in ("eer", "tpr", "fpr", "threshold", "min_dcf"):
            pl_module.log(f"val/{name}", getattr(result, name), rank_zero_only=False, sync_dist=False)


def gathered(parts: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """(embeddings (N, E), labels (N,)) of all ranks in the order of the rows, each row once."""
    own = tuple(torch.cat(column).numpy() for column in zip(*parts, strict=True))
    ranks = [own]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        ranks = [own] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(ranks, own)
    rows, labels, embeddings = (np.concatenate(column) for column in zip(*ranks, strict=True))
    _, first = np.unique(rows, return_index=True)
    return embeddings[first], labels[first]
