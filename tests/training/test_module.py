from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from inference.tiny_model import voice
from speaker_id import build, checkpoint
from speaker_id.contracts import FeatureBatch, LossOutput, WaveformBatch
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


class Learned(nn.Module):
    """A feature with a weight that learns, one that does not, and something to say to those who rebuild it."""

    def __init__(self) -> None:
        super().__init__()
        self.fbank: Any = build.feature(CONFIG["feature"])
        self.sample_rate, self.out_dim = self.fbank.sample_rate, self.fbank.out_dim
        self.gain = nn.Parameter(torch.ones(self.out_dim, 1))
        self.still = nn.Parameter(torch.ones(1), requires_grad=False)
        self.resolved = {"encoder": {"size": 3}}

    def forward(self, waveforms: Tensor) -> Tensor:
        features: Tensor = self.gain * self.still * self.fbank(waveforms)
        return features


class Mute(nn.Module):
    """An augmentation that nobody can overlook: identity in use, silence in training."""

    def forward(self, features: Tensor) -> Tensor:
        return 0 * features if self.training else features


class Batches(pl.Callback):
    """What training and validation were given, and whether the feature was in training mode."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, type, bool]] = set()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.add(("train", type(batch), pl_module.feature.training))

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.seen.add(("val", type(batch), pl_module.feature.training))


def test_a_feature_with_weights_is_run_and_trained_by_the_module(tmp_path: Path, data_list: Path) -> None:
    feature, batches = Learned().eval(), Batches()
    made = module(feature=feature)
    run = trainer(tmp_path, Verification(), batches, max_epochs=2)
    run.fit(made, datamodule(data_list, feature=feature))
    assert batches.seen == {("train", WaveformBatch, True), ("val", WaveformBatch, False)}
    assert bool((feature.gain != 1).all())
    assert feature.still.item() == 1.0
    given = {id(parameter) for group in run.optimizers[0].param_groups for parameter in group["params"]}
    assert given == {id(parameter) for parameter in made.parameters() if parameter is not feature.still}
    assert "val/eer" in run.callback_metrics


def test_checkpoints_hold_the_weights_of_the_feature_and_the_options_it_has_resolved(
    tmp_path: Path, data_list: Path
) -> None:
    feature = Learned()
    made, run = module(feature=feature), trainer(tmp_path, max_epochs=1, limit_val_batches=0)
    run.fit(made, datamodule(data_list, feature=feature))
    run.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    torch.testing.assert_close(content["state_dict"]["feature.gain"], feature.gain.detach(), rtol=0, atol=0)
    assert content["state_dict"]["feature.still"].item() == 1.0
    assert content[checkpoint.KEY]["feature"] == {**CONFIG["feature"], "encoder": {"size": 3}}
    assert "encoder" not in CONFIG["feature"]


def test_the_augmentation_of_a_feature_with_weights_follows_it_in_training_only() -> None:
    feature = Learned()
    made = module(feature=feature, feature_augmentation=Mute())
    given = WaveformBatch(torch.from_numpy(voice(120.0))[None].repeat(2, 1), torch.arange(2), torch.arange(2))
    silence = torch.zeros_like(feature(given.waveforms))
    made.embedding_model.eval()  # batch norm in training would give both the same
    with torch.inference_mode():
        torch.testing.assert_close(made.embed(given), made.embedding_model(silence))
        made.eval()
        torch.testing.assert_close(made.validation_step(given, 0), made.embedding_model(feature(given.waveforms)))


def test_a_feature_without_weights_leaves_no_trace_in_the_module(data_list: Path) -> None:
    data = datamodule(data_list)
    batch = next(iter(data.val_dataloader()))
    assert isinstance(data.on_after_batch_transfer(batch, 0), FeatureBatch)
    made = module(feature=None, feature_augmentation=nn.Linear(1, 1))
    assert {name.split(".")[0] for name in made.state_dict()} == {"embedding_model", "loss"}
    assert made.config is CONFIG
