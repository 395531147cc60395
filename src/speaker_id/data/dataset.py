"""Rows of a data list as waveforms: crops for training, whole recordings for evaluation."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from speaker_id import audio
from speaker_id.augmentation.speed import change_speed
from speaker_id.contracts import FloatArray, WaveformAugmentation, WaveformBatch
from speaker_id.data.lengths import trim_length
from speaker_id.data.lists import DataList
from speaker_id.data.sampler import Draw
from speaker_id.data.speech import Speech, load_speech
from speaker_id.errors import AudioError, ConfigError, DataError, NoSpeech, TooShort
from speaker_id.vad.stretches import total

Item = tuple[FloatArray, int, int]  # waveform (S,), label, row


class Transform(Protocol):
    """What becomes of a recording before it is embedded: (S,), its name in the list -> (`length(S)`,)."""

    def length(self, num_samples: int) -> int:
        """S', known beforehand so that equal lengths can be batched."""
        ...

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray: ...


class TrainingDataset(Dataset[Item]):
    """Random crops of one length, augmented: Draw -> waveform (S,), label, row.

    With speeds, every speed of a speaker is a speaker of its own: label = speaker + num_speakers * speed. With
    `speech`, of the same list, the crops are those of the recordings without their pauses. Raises ConfigError for
    speeds that are not different factors, and DataError naming list and row for a recording that cannot be read.
    """

    def __init__(
        self,
        data: DataList,
        *,
        sample_rate: int,
        crop_seconds: float,
        speeds: Sequence[float],
        augmentation: WaveformAugmentation,
        speech: Speech | None = None,
    ) -> None:
        if not speeds or len(set(speeds)) < len(speeds) or not all(0.5 <= speed <= 2.0 for speed in speeds):
            raise ConfigError(f"data.speeds must be different factors between 0.5 and 2.0, not {list(speeds)}")
        if not crop_seconds * sample_rate >= 1:
            raise ConfigError(f"data.crop_seconds={crop_seconds} holds no sample; take some seconds")
        self.data = data
        self.sample_rate = sample_rate
        self.crop = round(crop_seconds * sample_rate)
        self.speeds = tuple(speeds)
        self.augmentation = augmentation
        self.speech = speech
        speakers = data.speakers
        position = {speaker: index for index, speaker in enumerate(speakers)}
        self.labels = [position[utterance.label] for utterance in data.utterances]
        self.num_speakers = len(speakers) * len(self.speeds)

    def __len__(self) -> int:
        return len(self.data.utterances)

    def __getitem__(self, draw: Draw | int) -> Item:
        if isinstance(draw, int):  # Lightning's overfit_batches puts a sampler of rows in the place of ours
            draw = Draw(row=draw, speed=0, seed=draw)
        rng = np.random.default_rng(draw.seed)
        speed = self.speeds[draw.speed]
        try:
            waveform = self._crop(draw.row, speed, rng)
        except AudioError as error:
            raise located(error, self.data, draw.row) from error
        label = self.labels[draw.row] + draw.speed * (self.num_speakers // len(self.speeds))
        return self.augmentation(waveform, rng), label, draw.row

    def _crop(self, row: int, speed: float, rng: np.random.Generator) -> FloatArray:
        """A random stretch that is `crop` samples long after the change of speed; short recordings are tiled."""
        length = samples_of(self.data, row, self.sample_rate, self.speech)
        wanted = round(self.crop * speed)
        start = int(rng.integers(0, length - wanted + 1)) if length > wanted else 0
        waveform = load_row(self.data, row, self.sample_rate, self.speech, start=start, num=min(wanted, length))
        if speed != 1.0:
            waveform = change_speed(waveform, speed, self.sample_rate)
        return np.resize(waveform, self.crop)


class EvaluationDataset(Dataset[Item]):
    """Whole recordings, trimmed by less than 0.1 s: row -> waveform (S,), label, row.

    `lengths` come from the headers, so that equal lengths can be batched; `max_seconds` caps them. A `transform` gets
    what is left, and `lengths` are those of its results. With `speech`, of the same list, recordings are what they are
    without their pauses. Raises DataError naming the list and row for a recording shorter than `min_seconds`.
    """

    def __init__(
        self,
        data: DataList,
        *,
        sample_rate: int,
        min_seconds: float,
        max_seconds: float,
        transform: Transform | None = None,
        speech: Speech | None = None,
    ) -> None:
        self.cap = most_samples(min_seconds, max_seconds, sample_rate)
        self.data = data
        self.sample_rate = sample_rate
        self.min_seconds = min_seconds
        position = {speaker: index for index, speaker in enumerate(data.speakers)}
        self.labels = [position[utterance.label] for utterance in data.utterances]
        self.transform = transform
        self.speech = speech
        self._loaded = [self._length(row) for row in range(len(data.utterances))]
        self.lengths = self._loaded if transform is None else [transform.length(num) for num in self._loaded]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> Item:
        utterance = self.data.utterances[row]
        try:
            waveform = load_row(self.data, row, self.sample_rate, self.speech, num=self._loaded[row])
            if audio.is_silent(waveform):
                raise NoSpeech(f"{utterance.name} is silent; leave it out of the list")
            if self.transform is not None:
                waveform = self.transform(waveform, utterance.name)
        except AudioError as error:
            raise located(error, self.data, row) from error
        return waveform, self.labels[row], row

    def _length(self, row: int) -> int:
        try:
            length = samples_of(self.data, row, self.sample_rate, self.speech)
            if length < self.min_seconds * self.sample_rate:
                verb = "lasts" if self.speech is None else "holds speech of"
                raise TooShort(
                    f"{self.data.utterances[row].name} {verb} {length / self.sample_rate:.2f} s, "
                    f"at least {self.min_seconds:g} s are needed; leave it out of the list"
                )
        except AudioError as error:
            raise located(error, self.data, row) from error
        return min(trim_length(length, self.sample_rate), self.cap)


def samples_of(data: DataList, row: int, sample_rate: int, speech: Speech | None) -> int:
    """The length of a recording, or of its speech. Raises AudioError."""
    if speech is not None:
        return total(speech.of_row(row))
    return audio.num_samples_at(audio.info(data.utterances[row].path), sample_rate)


def load_row(
    data: DataList, row: int, sample_rate: int, speech: Speech | None, *, start: int = 0, num: int
) -> FloatArray:
    """A stretch (num,) of a recording, or of its speech end to end. Raises AudioError."""
    path = data.utterances[row].path
    if speech is not None:
        return load_speech(path, sample_rate, speech.of_row(row), start=start, num=num)
    return audio.load(path, sample_rate, start=start, num=num)


def most_samples(min_seconds: float, max_seconds: float, sample_rate: int) -> int:
    """The length that whole recordings are cut to. Raises ConfigError for limits that leave nothing."""
    if not 0.1 <= min_seconds <= max_seconds:
        raise ConfigError(
            f"data.min_seconds={min_seconds} and data.max_seconds={max_seconds} must rise, and be 0.1 or more"
        )
    return trim_length(round(max_seconds * sample_rate), sample_rate)


def located(error: AudioError, data: DataList, row: int) -> DataError:
    """The same message, led by the list and the row it stands in."""
    return DataError(f"{data.source}, utterance {row + 1} ({data.utterances[row].name}): {error}")


def collate(items: list[Item]) -> WaveformBatch:
    """Items of one length -> WaveformBatch."""
    waveforms, labels, rows = zip(*items, strict=True)
    return WaveformBatch(torch.from_numpy(np.stack(waveforms)), torch.tensor(labels), torch.tensor(rows))
