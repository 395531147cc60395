"""Lists to batches on the device: workers decode and augment, the feature runs over whole batches."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from speaker_id.build import nearest
from speaker_id.checkpoint import has_weights
from speaker_id.contracts import FeatureBatch, SpeechDetector, WaveformAugmentation, WaveformBatch
from speaker_id.data.dataset import EvaluationDataset, TrainingDataset, collate
from speaker_id.data.lengths import equal_length_batches
from speaker_id.data.lists import DataList, check_speakers, check_trials, hold_out_speakers, read_list
from speaker_id.data.sampler import TrainingSampler
from speaker_id.data.speech_search import find_speech
from speaker_id.errors import ConfigError

FINGERPRINTS = ("full", "names", "none")


class SpeakerDataModule(pl.LightningDataModule):
    """Training crops and whole validation recordings of data lists.

    Without `val_list`, `val_fraction` of the training list's *speakers* are held out. A detector `vad` cuts the pauses
    out of all recordings, which it listens to here if it did not before. Raises DataError for lists that cannot be
    used and ConfigError for batches that cannot be made of them, before the first batch.
    """

    def __init__(
        self,
        *,
        feature: nn.Module,
        waveform_augmentation: WaveformAugmentation,
        feature_augmentation: nn.Module | None,
        train_list: str,
        val_list: str | None,
        root: str | None,
        val_fraction: float,
        crop_seconds: float,
        speeds: Sequence[float],
        sampling: str,
        crops_per_speaker: int,
        utterances_per_speaker: int = 4,
        passes: int = 1,
        batch_size: int,
        eval_batch_seconds: float,
        min_seconds: float,
        max_seconds: float,
        num_workers: int,
        seed: int,
        fingerprint: str = "full",
        vad: SpeechDetector | None = None,
    ) -> None:
        super().__init__()
        if fingerprint not in FINGERPRINTS:
            raise ConfigError(f"data.fingerprint={fingerprint}: {nearest(fingerprint, list(FINGERPRINTS))}")
        self.fingerprint = fingerprint
        self.feature = feature
        self.feature_augmentation = feature_augmentation or nn.Identity()
        self.sampling, self.passes, self.batch_size = sampling, passes, batch_size
        self.crops_per_speaker, self.utterances_per_speaker = crops_per_speaker, utterances_per_speaker
        self.num_workers, self.seed = num_workers, seed
        self.eval_batch_seconds = eval_batch_seconds
        self.sample_rate = int(feature.sample_rate)  # type: ignore[arg-type]
        train, val = split_lists(train_list, val_list, root=root, val_fraction=val_fraction, seed=seed)
        self.speakers = train.speakers
        self.train_set = TrainingDataset(
            train,
            sample_rate=self.sample_rate,
            crop_seconds=crop_seconds,
            speeds=speeds,
            augmentation=waveform_augmentation,
            speech=None if vad is None else find_speech(train, vad, sample_rate=self.sample_rate),
        )
        self.val_set = EvaluationDataset(
            val,
            sample_rate=self.sample_rate,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            speech=None if vad is None else find_speech(val, vad, sample_rate=self.sample_rate),
        )
        self.sampler(rank=0, num_ranks=1)  # what it refuses is better refused here than when the training begins

    @property
    def num_speakers(self) -> int:
        """Classes of the loss: training speakers times speeds."""
        return self.train_set.num_speakers

    def sampler(self, *, rank: int, num_ranks: int) -> TrainingSampler:
        return TrainingSampler(
            self.train_set.labels,
            num_speeds=len(self.train_set.speeds),
            sampling=self.sampling,
            crops_per_speaker=self.crops_per_speaker,
            utterances_per_speaker=self.utterances_per_speaker,
            passes=self.passes,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            num_ranks=num_ranks,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        rank, num_ranks = self._rank()
        sampler = self.sampler(rank=rank, num_ranks=num_ranks)
        return self._loader(self.train_set, batch_size=self.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        rank, num_ranks = self._rank()
        samples = round(self.eval_batch_seconds * self.sample_rate)
        batches = equal_length_batches(self.val_set.lengths, max_batch_samples=samples)
        # A rank without a batch of its own repeats the first; the callback drops duplicates by row.
        return self._loader(self.val_set, batch_sampler=batches[rank::num_ranks] or batches[:1])

    def on_after_batch_transfer(self, batch: WaveformBatch, dataloader_idx: int) -> FeatureBatch | WaveformBatch:
        if has_weights(self.feature):
            return batch  # the training module runs it, and trains it
        features = self.feature.to(batch.waveforms.device)(batch.waveforms)
        if self.trainer is not None and self.trainer.training:
            features = self.feature_augmentation.to(features.device)(features)
        return FeatureBatch(features, batch.labels, batch.indices)

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _loader(self, dataset: Any, **how: Any) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_one_thread,
            pin_memory=torch.cuda.is_available(),
            **how,
        )


def split_lists(
    train_list: str, val_list: str | None, *, root: str | None, val_fraction: float, seed: int
) -> tuple[DataList, DataList]:
    """Training and validation list, checked: both exist, and validation can make trials of both kinds."""
    train = read_list(train_list, root=root)
    if val_list is None:
        train, val = hold_out_speakers(train, fraction=val_fraction, seed=seed)
    else:
        val = read_list(val_list, root=root)
    check_speakers(train)
    check_trials(val)
    return train, val


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)  # several threads in each worker spin against the training's
