from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from inference.tiny_model import voice
from speaker_id import checkpoint
from speaker_id.contracts import FeatureBatch, LossOutput
from speaker_id.errors import ConfigError, TrainingError
from speaker_id.training.module import SpeakerModule
from speaker_id.training.saving import AtomicCheckpointIO
from speaker_id.training.schedules import warmup_cosine
from speaker_id.training.verification import Verification
from training.tiny_run import CONFIG, datamodule, module, trainer


class FixedLoss(nn.Module):
    """The loss that a test wants to see, whatever the embeddings."""

    def __init__(self, loss: float, logits: list[list[float]]) -> None:
        super().__init__()
        self.output = LossOutput(torch.tensor(loss, requires_grad=True), torch.tensor(logits))

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        return self.output


def batch(num: int = 4) -> FeatureBatch:
    return FeatureBatch(torch.randn(num, 24, 50), torch.arange(num), torch.tensor([10, 3, 7, 0][:num]))


def logged(made: SpeakerModule) -> dict[str, float]:
    values: dict[str, float] = {}
    made.log = lambda name, value, **how: values.update({name: value.item()})  # type: ignore[method-assign]
    return values


def test_a_step_logs_the_loss_and_the_share_of_right_answers() -> None:
    logits = [[9.0, 0.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0]]
    made = module(loss=FixedLoss(1.5, logits))
    values = logged(made)
    outputs = made.training_step(batch(), 0)
    assert values == {"train/loss": 1.5, "train/accuracy": 0.75}
    assert (outputs["loss"].item(), outputs["accuracy"].item()) == (1.5, 0.75)
    assert outputs["loss"].requires_grad


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_rows(value: float) -> None:
    made = module(loss=FixedLoss(value, [[0.0] * 4] * 4))
    logged(made)
    with pytest.raises(TrainingError) as caught:
        made.training_step(batch(), 41)
    message = str(caught.value)
    assert f"the loss is {value} in epoch 1, batch 42" in message
    assert "optimizer.lr" in message
    assert message.endswith("(rows of the list, from 1): 11, 4, 8, 1")


def test_validation_gives_float32_embeddings_of_the_model() -> None:
    made = module().eval()
    given = batch()
    with torch.inference_mode():
        torch.testing.assert_close(made.validation_step(given, 0), made.embedding_model(given.features))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):  # precision: bf16-mixed
        assert made.embedding_model(given.features).dtype == torch.bfloat16
        assert made.validation_step(given, 0).dtype == torch.float32


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_epochs": 2}, [0.0, 1 / 3, 2 / 3, 1.0, 0.75, 0.25]),  # three steps an epoch, one epoch of warm-up
        ({"max_epochs": 9, "max_steps": 4}, [0.0, 1 / 3, 2 / 3, 1.0]),  # an epoch stays an epoch
        ({"max_epochs": 2, "limit_train_batches": 2}, [0.0, 0.5, 1.0, 0.5]),
        ({"max_epochs": 3, "accumulate_grad_batches": 3}, [0.0] * 3 + [1.0] * 3 + [0.5] * 3),
    ],
)
def test_the_schedule_counts_optimiser_steps(
    tmp_path: Path, data_list: Path, changes: dict[str, Any], expected: list[float]
) -> None:
    rates = Rates()
    made = module(
        optimizer=partial(torch.optim.SGD, lr=1e-3), scheduler=partial(warmup_cosine, warmup_epochs=1, final_ratio=0.0)
    )
    trainer(tmp_path, rates, limit_val_batches=0, **changes).fit(made, datamodule(data_list))
    assert rates.seen == pytest.approx([1e-3 * factor for factor in expected], abs=1e-9)


def test_a_warm_up_as_long_as_the_run_ends_it_at_once(tmp_path: Path, data_list: Path) -> None:
    made = module(scheduler=partial(warmup_cosine, warmup_epochs=2, final_ratio=0.0))
    with pytest.raises(ConfigError, match=r"warmup_epochs=2 is 6 steps, and the run has 6"):
        trainer(tmp_path, limit_val_batches=0).fit(made, datamodule(data_list))


def fitted(folder: Path, data_list: Path) -> SpeakerModule:
    saving = ModelCheckpoint(dirpath=folder, filename="best", monitor="val/eer")
    made = module()
    run = trainer(
        folder, Verification(), saving, enable_checkpointing=True, max_epochs=1, plugins=[AtomicCheckpointIO()]
    )
    run.fit(made, datamodule(data_list))
    return made


def plain(node: Any) -> bool:
    if isinstance(node, dict):
        return all(type(key) is str and plain(value) for key, value in node.items())
    return all(map(plain, node)) if type(node) is list else type(node) in (str, int, float, bool, type(None))


def test_a_checkpoint_of_a_run_loads_safely_and_gives_the_model_of_the_run(tmp_path: Path, data_list: Path) -> None:
    made = fitted(tmp_path, data_list)
    content = torch.load(tmp_path / "best.ckpt", weights_only=True)
    description = content[checkpoint.KEY]
    assert plain(description)
    assert {group: description[group] for group in CONFIG} == CONFIG
    assert description["speakers"] == [f"speaker {number}" for number in range(4)]

    loaded = checkpoint.load(tmp_path / "best.ckpt")
    waveforms = torch.from_numpy(voice(120.0))[None]
    with torch.inference_mode():
        expected = made.eval().embedding_model(loaded.feature(waveforms))
        torch.testing.assert_close(loaded.embedding_model(loaded.feature(waveforms)), expected)


def test_a_checkpoint_carries_the_operating_point_of_its_validation(tmp_path: Path, data_list: Path) -> None:
    made = fitted(tmp_path, data_list)
    point = checkpoint.load(tmp_path / "best.ckpt").operating_point
    assert point is not None
    assert point.threshold == float(made.trainer.callback_metrics["val/threshold"])
    assert point.source == "EER on the validation trials of epoch 1"


def test_a_checkpoint_before_any_validation_has_no_operating_point(tmp_path: Path, data_list: Path) -> None:
    run = trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    run.fit(module(), datamodule(data_list))
    run.save_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.load(tmp_path / "a.ckpt").operating_point is None
