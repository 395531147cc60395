"""The training step: an embedding model, the loss that shapes its space, and a feature if it learns with them."""

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
from speaker_id.contracts import FeatureBatch, LossOutput, OperatingPoint, WaveformBatch
from speaker_id.data.fingerprint import SeenData
from speaker_id.errors import TrainingError


class SpeakerModule(pl.LightningModule):
    """Embedding model and loss; checkpoints carry `config` (feature, model, pooling), `speakers` and what was `seen`.

    A `feature` that has weights is a part of it, followed by its augmentation: batches then bring waveforms. The
    options that the feature has `resolved`, by which a checkpoint rebuilds it from itself alone, go into the config.
    """

    def __init__(
        self,
        *,
        embedding_model: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[..., LRScheduler],
        config: dict[str, Any],
        speakers: list[str],
        feature: nn.Module | None = None,
        feature_augmentation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embedding_model = embedding_model
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.config = config
        self.speakers = speakers
        self.seen: SeenData | None = None  # what it is trained on; the one rank that writes checkpoints is told
        self.feature = feature
        self.feature_augmentation = None if feature is None else feature_augmentation or nn.Identity()
        if feature is not None:
            feature.train()  # it was built for use
            self.config = {**config, "feature": {**config["feature"], **getattr(feature, "resolved", {})}}

    def embed(self, batch: FeatureBatch | WaveformBatch) -> Tensor:
        """A batch as the data module hands it over -> embeddings (B, E)."""
        if isinstance(batch, WaveformBatch):
            features = self.feature_augmentation(self.feature(batch.waveforms))  # type: ignore[misc]
        else:
            features = batch.features
        embeddings: Tensor = self.embedding_model(features)
        return embeddings

    def training_step(self, batch: FeatureBatch | WaveformBatch, batch_idx: int) -> dict[str, Tensor]:
        result: LossOutput = self.loss(self.embed(batch), batch.labels)
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

    def validation_step(self, batch: FeatureBatch | WaveformBatch, batch_idx: int) -> Tensor:
        """Embeddings (B, E), for whichever callback wants them."""
        return self.embed(batch).float()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer([parameter for parameter in self.parameters() if parameter.requires_grad])
        steps = int(self.trainer.estimated_stepping_batches)
        # Not steps / max_epochs: max_steps may end the run earlier.
        steps_per_epoch = math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)
        scheduler = self.scheduler(optimizer, total_steps=steps, steps_per_epoch=steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        description = checkpoints.describe(self.config, self.speakers, self._operating_point())
        if self.seen is not None:
            description[checkpoints.SEEN] = checkpoints.seen_tensors(self.seen)
        checkpoint[checkpoints.KEY] = description

    def _operating_point(self) -> OperatingPoint | None:
        threshold = self.trainer.callback_metrics.get("val/threshold")
        if threshold is None:
            return None
        return OperatingPoint(float(threshold), f"EER on the validation trials of epoch {self.current_epoch + 1}")
