from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from speaker_id.errors import ConfigError
from speaker_id.loss.softmax import Softmax
from speaker_id.training.margin import MarginWarmup
from training.tiny_run import SaveFirstEpoch, datamodule, module, trainer


class MarginRecorder(pl.Callback):
    """Stands after MarginWarmup in the list, so it sees what the step will use."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen[trainer.global_step] = pl_module.loss.margin


def margin_at(step: int, *, start: float, end: float, total: int = 100) -> float:
    callback = MarginWarmup(start=start, end=end)
    fake: Any = SimpleNamespace(global_step=step, estimated_stepping_batches=total)
    holder: Any = SimpleNamespace(loss=SimpleNamespace(margin=0.2))
    callback.on_fit_start(fake, holder)
    callback.on_train_batch_start(fake, holder, None, 0)
    result: float = holder.loss.margin
    return result


@pytest.mark.parametrize(
    ("step", "margin"), [(0, 0.0), (20, 0.0), (21, 0.005), (40, 0.1), (59, 0.195), (60, 0.2), (99, 0.2)]
)
def test_the_margin_grows_in_a_straight_line_between_two_parts_of_the_run(step: int, margin: float) -> None:
    assert margin_at(step, start=0.2, end=0.6) == pytest.approx(margin, abs=1e-12)


def test_an_end_of_zero_is_the_full_margin_from_the_first_step() -> None:
    assert margin_at(0, start=0.0, end=0.0) == 0.2


def test_equal_start_and_end_is_a_jump() -> None:
    assert [margin_at(step, start=0.5, end=0.5) for step in (0, 49, 50, 99)] == [0.0, 0.0, 0.2, 0.2]


@pytest.mark.parametrize(("start", "end"), [(-0.1, 0.5), (0.6, 0.5), (0.0, 1.1), (float("nan"), 0.5)])
def test_parts_that_are_no_fractions_in_order_are_refused(start: float, end: float) -> None:
    with pytest.raises(ConfigError, match="0 <= start <= end <= 1"):
        MarginWarmup(start=start, end=end)


def test_a_run_uses_the_line_and_ends_with_the_full_margin(tmp_path: Path, data_list: Path) -> None:
    recorder, model = MarginRecorder(), module()
    run = trainer(tmp_path, MarginWarmup(start=0.0, end=1.0), recorder, limit_val_batches=0)
    run.fit(model, datamodule(data_list))
    assert recorder.seen == pytest.approx({step: 0.2 * step / 6 for step in range(6)})
    assert model.loss.margin == 0.2


def test_a_resumed_run_goes_on_where_it_was(tmp_path: Path, data_list: Path) -> None:
    def run(*callbacks: pl.Callback) -> pl.Trainer:
        return trainer(tmp_path, MarginWarmup(start=0.0, end=1.0), *callbacks, limit_val_batches=0)

    first, again, model, saved = MarginRecorder(), MarginRecorder(), module(), tmp_path / "a.ckpt"
    run(first, SaveFirstEpoch(saved)).fit(module(), datamodule(data_list))
    run(again).fit(model, datamodule(data_list), ckpt_path=str(saved), weights_only=True)
    assert again.seen == {step: first.seen[step] for step in (3, 4, 5)}
    assert model.loss.margin == 0.2


def test_a_loss_without_a_margin_is_left_alone(tmp_path: Path, data_list: Path) -> None:
    model = module(loss=Softmax(12, 4))
    before = set(vars(model.loss))
    trainer(tmp_path, MarginWarmup(start=0.0, end=0.5), max_epochs=1, limit_val_batches=0).fit(
        model, datamodule(data_list)
    )
    assert set(vars(model.loss)) == before
    assert not hasattr(model.loss, "margin")
    assert torch.isfinite(next(model.loss.parameters())).all()
