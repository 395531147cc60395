from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from speaker_id.contracts import FeatureBatch, WaveformBatch
from speaker_id.data.lists import read_list, write_list
from speaker_id.errors import ConfigError, DataError
from speaker_id.training.datamodule import SpeakerDataModule, split_lists
from training.tiny_run import SaveFirstEpoch, datamodule, module, trainer


class PlusOne(nn.Module):
    """A feature augmentation that nobody can overlook."""

    def forward(self, features: Tensor) -> Tensor:
        return features + 1


class Rows(pl.Callback):
    """The rows that training saw, by epoch, and the shapes of their features."""

    def __init__(self) -> None:
        self.by_epoch: dict[int, list[int]] = {}
        self.shapes: set[tuple[int, ...]] = set()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: FeatureBatch, batch_idx: int
    ) -> None:
        self.by_epoch.setdefault(trainer.current_epoch, []).extend(batch.indices.tolist())
        self.shapes.add(tuple(batch.features.shape))


def as_rank(made: SpeakerDataModule, rank: int, num_ranks: int, *, training: bool = False) -> SpeakerDataModule:
    made.trainer = SimpleNamespace(global_rank=rank, world_size=num_ranks, training=training)  # type: ignore[assignment]
    return made


def rows_of(loader: Any) -> list[list[int]]:
    return [batch.indices.tolist() for batch in loader]


def test_training_batches_hold_crops_labels_and_rows(data_list: Path) -> None:
    made = datamodule(data_list, speeds=[0.9, 1.0])
    assert made.speakers == [f"speaker {number}" for number in range(4)]
    assert made.num_speakers == 8
    batches: list[WaveformBatch] = list(made.train_dataloader())
    assert len(batches) == 6  # 12 recordings at 2 speeds by 4
    seen = set()
    for batch in batches:
        assert batch.waveforms.shape == (4, 8000)
        assert (batch.labels % 4 == batch.indices // 3).all()
        seen |= set(zip(batch.indices.tolist(), batch.labels.tolist(), strict=True))
    assert seen == {(row, row // 3 + 4 * speed) for row in range(12) for speed in range(2)}


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_balanced_batches_hold_several_crops_of_each_speaker(data_list: Path, num_ranks: int) -> None:
    for rank in range(num_ranks):
        made = datamodule(data_list, sampling="balanced", utterances_per_speaker=2, batch_size=6, speeds=[1.0, 1.1])
        batches: list[WaveformBatch] = list(as_rank(made, rank, num_ranks).train_dataloader())
        assert len(batches) == 4 // num_ranks  # 24 crops
        for batch in batches:
            pairs = batch.labels.reshape(3, 2)
            assert torch.equal(pairs[:, 0], pairs[:, 1])
            assert len(set(pairs[:, 0].tolist())) == 3
            assert not (batch.waveforms[::2] == batch.waveforms[1::2]).all(dim=1).any()


def test_batches_that_cannot_be_balanced_are_refused_before_the_training(data_list: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.batch_size=6 is no multiple of data\.utterances_per_speaker=4"):
        datamodule(data_list, sampling="balanced", batch_size=6)
    with pytest.raises(ConfigError, match=r"data\.sampling='pairs' does not exist"):
        datamodule(data_list, sampling="pairs")


def test_validation_batches_hold_every_recording_once_at_one_length_each(data_list: Path) -> None:
    made = datamodule(data_list)
    batches: list[WaveformBatch] = list(made.val_dataloader())
    assert sorted(row for batch in batches for row in batch.indices.tolist()) == list(range(12))
    lengths = [batch.waveforms.shape[1] for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    assert set(lengths) == {9600, 11200, 12800}
    assert all(batch.waveforms.numel() <= 2.0 * 16000 for batch in batches)


def test_ranks_share_out_training_and_validation(data_list: Path) -> None:
    alone = datamodule(data_list, batch_size=6)
    ranks = [as_rank(datamodule(data_list, batch_size=3), rank, 2) for rank in range(2)]
    trained = [rows_of(made.train_dataloader()) for made in ranks]
    assert [sorted(a + b) for a, b in zip(*trained, strict=True)] == [
        sorted(rows) for rows in rows_of(alone.train_dataloader())
    ]
    validated = [row for made in ranks for rows in rows_of(made.val_dataloader()) for row in rows]
    assert sorted(validated) == list(range(12))


def test_a_rank_without_a_validation_batch_repeats_one(data_list: Path) -> None:
    made = datamodule(data_list, eval_batch_seconds=60.0)  # one batch for each of the three lengths
    first = rows_of(made.val_dataloader())[0]
    assert rows_of(as_rank(made, 3, 4).val_dataloader()) == [first]


def test_the_number_of_workers_changes_nothing(data_list: Path) -> None:
    alone = list(datamodule(data_list).train_dataloader())
    worked = list(datamodule(data_list, num_workers=2).train_dataloader())
    for a, b in zip(alone, worked, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_the_feature_augmentation_works_in_training_only(data_list: Path, training: bool) -> None:
    made = as_rank(datamodule(data_list, feature_augmentation=PlusOne()), 0, 1, training=training)
    batch = next(iter(made.val_dataloader()))
    expected = made.feature(batch.waveforms) + (1 if training else 0)
    result = made.on_after_batch_transfer(batch, 0)
    torch.testing.assert_close(result.features, expected)
    assert torch.equal(result.indices, batch.indices)
    assert torch.equal(result.labels, batch.labels)


def test_a_resumed_run_draws_what_the_whole_run_would_have(tmp_path: Path, data_list: Path) -> None:
    def run(*callbacks: pl.Callback) -> pl.Trainer:
        return trainer(tmp_path, *callbacks, max_epochs=3, limit_val_batches=0)

    whole, rest, saved = Rows(), Rows(), tmp_path / "a.ckpt"
    run(whole, SaveFirstEpoch(saved)).fit(module(), datamodule(data_list))
    run(rest).fit(module(), datamodule(data_list), ckpt_path=str(saved), weights_only=True)
    assert whole.shapes == {(4, 24, 48)}  # 0.5 s: 1 + (8000 - 400) // 160 frames
    assert len({tuple(rows) for rows in whole.by_epoch.values()}) == 3
    assert rest.by_epoch == {epoch: whole.by_epoch[epoch] for epoch in (1, 2)}


def test_without_a_validation_list_whole_speakers_are_held_out(data_list: Path) -> None:
    train, val = split_lists(str(data_list), None, root=None, val_fraction=0.5, seed=1)
    assert len(train.speakers) == len(val.speakers) == 2
    assert not set(train.speakers) & set(val.speakers)


def test_lists_that_cannot_be_used_are_refused_before_the_first_batch(tmp_path: Path, data_list: Path) -> None:
    rows = [(utterance.path, utterance.label) for utterance in read_list(data_list).utterances]
    write_list(tmp_path / "one speaker.tsv", rows[:3])
    write_list(tmp_path / "once each.tsv", rows[::3])
    for changes, reason in [
        ({"train_list": str(tmp_path / "one speaker.tsv")}, "1 speaker"),
        ({"val_list": str(tmp_path / "once each.tsv")}, "no same-speaker trial"),
        ({"val_list": str(tmp_path / "none.tsv")}, "no such data list"),
        ({"min_seconds": 0.65}, "lasts 0.60 s, at least 0.65 s"),
    ]:
        with pytest.raises(DataError, match=reason):
            datamodule(data_list, **changes)
