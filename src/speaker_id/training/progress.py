"""What a person watching a run sees: a progress bar in a terminal, and log lines everywhere."""

import logging
import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import rich
from pytorch_lightning.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor

from speaker_id.contracts import FeatureBatch

logger = logging.getLogger(__name__)


class ConsoleHandler(logging.Handler):
    """Log records through rich's console, so that they appear above a progress bar and are never wrapped."""

    def emit(self, record: logging.LogRecord) -> None:
        rich.get_console().print(self.format(record), soft_wrap=True, markup=False, highlight=False, emoji=False)


class TrainingProgress(ProgressBar):
    """Every `every_n_batches` batches one line: epoch, batch, loss, accuracy, learning rate, utterances/s, time left.

    Loss and accuracy are means since the last line; utterances/s counts all ranks, and `waiting` is the share of
    the time spent on waiting for data. Only rank 0 speaks.
    """

    def __init__(self, *, every_n_batches: int) -> None:
        super().__init__()
        self.every = every_n_batches
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.first_step, self.run_began = trainer.global_step, time.perf_counter()
        if trainer.is_global_zero and rich.get_console().is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=rich.get_console())
            self.bar.start()
            self.task = self.bar.add_task("training", total=int(trainer.estimated_stepping_batches))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._reset()
        self.ready = time.perf_counter()

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.waited += time.perf_counter() - self.ready

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: FeatureBatch, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self.ready = time.perf_counter()
        self.losses.append(outputs["loss"].detach())
        self.accuracies.append(outputs["accuracy"].detach())
        self.utterances += len(batch.labels) * trainer.world_size
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step)
        if (batch_idx + 1) % self.every == 0 or batch_idx + 1 == self.total_train_batches:
            self._line(trainer, batch_idx + 1)
            self._reset()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_start(trainer, pl_module)
        self.validation_began = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_end(trainer, pl_module)
        values = {name: float(trainer.callback_metrics[name]) for name in _SHOWN if name in trainer.callback_metrics}
        if values and self._speaks(trainer):
            eer, tpr, fpr, threshold, min_dcf = (values[name] for name in _SHOWN)
            logger.info(
                "epoch %d/%d, validation: EER %.2f %%, tpr %.2f %%, fpr %.2f %% at threshold %.4f, minDCF %.4f, "
                "took %s",
                trainer.current_epoch + 1, trainer.max_epochs, 100 * eer, 100 * tpr, 100 * fpr, threshold, min_dcf,
                timedelta(seconds=round(time.perf_counter() - self.validation_began)),
            )  # fmt: skip
        self.ready = time.perf_counter()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _speaks(self, trainer: pl.Trainer) -> bool:
        return self.enabled and trainer.is_global_zero and not trainer.sanity_checking

    def _reset(self) -> None:
        self.losses: list[Tensor] = []
        self.accuracies: list[Tensor] = []
        self.utterances = 0
        self.waited = 0.0
        self.began = time.perf_counter()

    def _line(self, trainer: pl.Trainer, batch: int) -> None:
        now = time.perf_counter()
        done = trainer.global_step - self.first_step
        left = (int(trainer.estimated_stepping_batches) - trainer.global_step) * (now - self.run_began) / max(1, done)
        rate = self.utterances / (now - self.began)
        pl_rate = trainer.optimizers[0].param_groups[0]["lr"]
        if self._speaks(trainer):
            logger.info(
                "epoch %d/%d, batch %d/%s, loss %.4f, accuracy %.4f, learning rate %.3e, %.1f utterances/s "
                "(%.0f %% waiting for data), %s left",
                trainer.current_epoch + 1, trainer.max_epochs, batch, self.total_train_batches, _mean(self.losses),
                _mean(self.accuracies), pl_rate, rate, 100 * self.waited / (now - self.began),
                timedelta(seconds=round(left)),
            )  # fmt: skip


_SHOWN = ("val/eer", "val/tpr", "val/fpr", "val/threshold", "val/min_dcf")


def _mean(values: list[Tensor]) -> float:
    return sum(float(value) for value in values) / max(1, len(values))
