"""The margin grows while the network settles: a full margin from the first step on can keep it from learning."""

from typing import Any

import pytorch_lightning as pl

from speaker_id.contracts import HasMargin
from speaker_id.errors import ConfigError


class MarginWarmup(pl.Callback):
    """Moves `loss.margin` from 0 to its configured value, in a straight line between two parts of the run.

    `start` and `end` are fractions of all steps. Computed from the step alone, so that a resumed run goes on exactly.
    Losses without a margin are left alone.
    """

    def __init__(self, *, start: float, end: float) -> None:
        if not 0 <= start <= end <= 1:
            raise ConfigError(f"callbacks.margin needs 0 <= start <= end <= 1, got start={start} and end={end}")
        self.start = start
        self.end = end
        self.final: float | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = pl_module.loss
        self.final = loss.margin if isinstance(loss, HasMargin) else None

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.final is not None:
            progress = trainer.global_step / max(1, int(trainer.estimated_stepping_batches))
            pl_module.loss.margin = self.final * self._grown(progress)  # type: ignore[union-attr]

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.final is not None:
            pl_module.loss.margin = self.final  # type: ignore[union-attr]

    def _grown(self, progress: float) -> float:
        if progress >= self.end:
            return 1.0
        return max(0.0, progress - self.start) / max(1e-9, self.end - self.start)
