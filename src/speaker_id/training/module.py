"""The training step: an embedding model and the loss that shapes its space."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from speaker_id import checkpoint as checkpoints
from speaker_id.contracts import FeatureBatch, LossOutput, OperatingPoint
from speaker_id.errors import TrainingError


class SpeakerModule(pl.LightningModule):
    """Embedding model and loss; its checkpoints carry `config` (feature, model, pooling) and `speakers` with them."""

    def __init__(
        self,
        *,
        embedding_model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[..., LRScheduler],
        config: dict[str, Any],
        speakers: list[str],
    ) -> None:
        super().__init__()
        self.embedding_model = embedding_model
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.config = config
        self.speakers = speakers

    def training_step(self, batch: FeatureBatch, batch_idx: int) -> dict[str, Tensor]:
        result: LossOutput = self.loss(self.embedding_model(batch.features), batch.labels)
        if not torch.isfinite(result.loss):
            raise TrainingError(
                f"the loss is {result.loss.item()} in epoch {self.current_epoch + 1}, batch {batch_idx + 1}; lower "
                "optimizer.lr, or check the recordings (rows of the list, from 1): "
                + ", ".join(str(row + 1) for row in batch.indices.tolist()[:16])
            )
        accuracy = (result.logits.argmax(dim=-1) == batch.labels).float().mean()
        self.log("train/loss", result.loss, batch_size=len(batch.labels))
        self.log("train/accuracy", accuracy, batch_size=len(batch.labels))
        return {"loss": result.loss, "accuracy": accuracy}

    def validation_step(self, batch: FeatureBatch, batch_idx: int) -> Tensor:
        """(B, F, T) -> embeddings (B, E), for whichever callback wants them."""
        embeddings: Tensor = self.embedding_model(batch.features)
        return embeddings.float()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        steps = int(self.trainer.estimated_stepping_batches)
        # Not steps / max_epochs: max_steps may end the run earlier.
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self.scheduler(optimizer, total_steps=steps, steps_per_epoch=steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[checkpoints.KEY] = checkpoints.describe(self.config, self.speakers, self._operating_point())

    def _operating_point(self) -> OperatingPoint | None:
        threshold = self.trainer.callback_metrics.get("val/threshold")
        if threshold is None:
            return None
        return OperatingPoint(float(threshold), f"EER on the validation trials of epoch {self.current_epoch + 1}")
