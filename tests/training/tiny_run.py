"""A training that takes a second: a tiny model, moving synthetic voices, a real Trainer."""

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from inference.tiny_model import BACKBONE, FEATURE, POOLING, PROJECTION, recording
from speaker_id import build
from speaker_id.augmentation.chain import Chain
from speaker_id.data.lists import write_list
from speaker_id.loss.cosine import AdditiveAngularMargin
from speaker_id.training.datamodule import SpeakerDataModule
from speaker_id.training.module import SpeakerModule
from speaker_id.training.schedules import warmup_cosine

CONFIG = {"feature": FEATURE, "model": {"backbone": BACKBONE, "projection": PROJECTION}, "pooling": POOLING}


class SaveFirstEpoch(pl.Callback):
    """Saves a checkpoint where ModelCheckpoint does, and remembers nothing about it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


def corpus(folder: Path, *, num_speakers: int = 4, num_utterances: int = 3) -> Path:
    """A data list of short recordings, each speaker with a pitch of their own."""
    rows = []
    for speaker in range(num_speakers):
        for take in range(num_utterances):
            name = f"{speaker}-{take}.wav"
            recording(folder / name, 100 + 25 * speaker + take, 0.6 + 0.1 * take)
            rows.append((name, f"speaker {speaker}"))
    write_list(folder / "list.tsv", rows)
    return folder / "list.tsv"


def datamodule(data_list: Path, **changes: Any) -> SpeakerDataModule:
    options: dict[str, Any] = {
        "feature": build.feature(CONFIG["feature"]),
        "waveform_augmentation": Chain(),
        "feature_augmentation": None,
        "train_list": str(data_list),
        "val_list": str(data_list),
        "root": None,
        "val_fraction": 0.1,
        "crop_seconds": 0.5,
        "speeds": [1.0],
        "sampling": "utterance",
        "crops_per_speaker": 1,
        "batch_size": 4,
        "eval_batch_seconds": 2.0,
        "min_seconds": 0.5,
        "max_seconds": 60.0,
        "num_workers": 0,
        "seed": 3,
    }
    return SpeakerDataModule(**{**options, **changes})


def module(num_speakers: int = 4, *, loss: nn.Module | None = None, **changes: Any) -> SpeakerModule:
    torch.manual_seed(0)
    model = build.embedding_model(CONFIG["model"], CONFIG["pooling"], FEATURE["n_mels"])
    options: dict[str, Any] = {
        "embedding_model": model,
        "loss": loss or AdditiveAngularMargin(model.out_dim, num_speakers, margin=0.2, scale=30.0),
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "scheduler": partial(warmup_cosine, warmup_epochs=0.5, final_ratio=0.01),
        "config": CONFIG,
        "speakers": [f"speaker {number}" for number in range(num_speakers)],
    }
    return SpeakerModule(**{**options, **changes})


def trainer(folder: Path, *callbacks: pl.Callback, **changes: Any) -> pl.Trainer:
    options: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 2,
        "callbacks": list(callbacks),
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "default_root_dir": folder,
        "log_every_n_steps": 1,
    }
    return pl.Trainer(**{**options, **changes})
