"""Rows of a data list on their way to a model: planned from the headers, read by workers in batches of one length."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speaker_id import audio
from speaker_id.contracts import FloatArray, SpeechDetector, Stretches
from speaker_id.data.dataset import located, most_samples
from speaker_id.data.lengths import equal_length_batches, trim_length
from speaker_id.data.lists import DataList
from speaker_id.data.speech import load_speech
from speaker_id.data.speech_search import listeners
from speaker_id.errors import AudioError, NoSpeech, TooShort
from speaker_id.vad.stretches import total

NUM_HEADER_READERS = 8  # threads: they wait for the disk


class Stretch(NamedTuple):
    """The beginning of a recording, at the model's rate; no sample of one whose header could not be used."""

    row: int
    num_samples: int
    speech: Stretches | None = None  # of the whole recording: what is read then is the beginning of its speech


class Failure(NamedTuple):
    """A row that was passed over."""

    row: int
    reason: str


class ReadBatch(NamedTuple):
    """Recordings of one length; the rows that failed are not among `rows`."""

    rows: list[int]
    waveforms: Tensor  # (B, S)
    failures: list[Failure]


class Recordings(Dataset[tuple[int, FloatArray] | Failure]):
    """Whole recordings, trimmed by less than 0.1 s: Stretch -> (row, waveform (S,)), or the Failure when skipping.

    Unlike EvaluationDataset it reads no header before it is asked to, so that a list of millions starts at once, and
    it can pass over what is missing, unreadable, silent or shorter than `min_seconds`. Otherwise these raise DataError
    naming list and row. With a detector `vad` pauses are cut out; recordings are then decoded twice, once to listen.
    """

    def __init__(
        self,
        data: DataList,
        *,
        sample_rate: int,
        min_seconds: float,
        max_seconds: float,
        skip_failures: bool,
        vad: SpeechDetector | None = None,
    ) -> None:
        self.cap = most_samples(min_seconds, max_seconds, sample_rate)
        self.data = data
        self.sample_rate = sample_rate
        self.min_seconds = min_seconds
        self.skip_failures = skip_failures
        self.vad = vad

    def __getitem__(self, stretch: Stretch) -> tuple[int, FloatArray] | Failure:
        try:
            return stretch.row, self._read(stretch)
        except AudioError as error:
            if not self.skip_failures:
                raise located(error, self.data, stretch.row) from error
            return Failure(stretch.row, " ".join(str(error).split()))

    def batches(self, parts: Iterable[range], *, max_batch_samples: int) -> Iterator[list[Stretch]]:
        """Each row of each part once, part after part; a batch lies within one part and holds one length.

        The headers of the next part are read while the batches of this one are worked on.
        """
        with listeners(NUM_HEADER_READERS) as pool:
            upcoming = iter(parts)
            following = self._headers(pool, next(upcoming, range(0)))
            while current := following:
                following = self._headers(pool, next(upcoming, range(0)))
                stretches = [header.result() for header in current]
                lengths = [stretch.num_samples for stretch in stretches]
                for batch in equal_length_batches(lengths, max_batch_samples=max_batch_samples):
                    yield [stretches[index] for index in batch]

    def _headers(self, pool: ThreadPoolExecutor, rows: range) -> list[Future[Stretch]]:
        return [pool.submit(self._planned, row) for row in rows]

    def _planned(self, row: int) -> Stretch:
        try:
            return self._stretch(row)
        except AudioError as error:
            if not self.skip_failures:
                raise located(error, self.data, row) from error
            return Stretch(row, 0)  # a worker will find the same reason, and tell it

    def _stretch(self, row: int) -> Stretch:
        path, _, name = self.data.utterances[row]
        speech = None if self.vad is None else self.vad(audio.load(path, self.sample_rate), self.sample_rate)
        if speech is None:
            length = audio.num_samples_at(audio.info(path), self.sample_rate)
        elif not (length := total(speech)):
            raise NoSpeech(f"{name} holds no speech")
        if length < self.min_seconds * self.sample_rate:
            verb = "lasts" if speech is None else "holds speech of"
            raise TooShort(
                f"{name} {verb} {length / self.sample_rate:.2f} s, at least {self.min_seconds:g} s are needed"
            )
        return Stretch(row, min(trim_length(length, self.sample_rate), self.cap), speech)

    def _read(self, stretch: Stretch) -> FloatArray:
        if not stretch.num_samples:
            stretch = self._stretch(stretch.row)
        utterance = self.data.utterances[stretch.row]
        if stretch.speech is None:
            waveform = audio.load(utterance.path, self.sample_rate, num=stretch.num_samples)
        else:
            waveform = load_speech(utterance.path, self.sample_rate, stretch.speech, num=stretch.num_samples)
        if audio.is_silent(waveform):
            raise NoSpeech(f"{utterance.name} is silent")
        return waveform


def collate(items: list[tuple[int, FloatArray] | Failure]) -> ReadBatch:
    """Waveforms of one length, and failures, as one batch."""
    failures = [item for item in items if isinstance(item, Failure)]
    read = [item for item in items if not isinstance(item, Failure)]
    waveforms = np.stack([waveform for _, waveform in read]) if read else np.zeros((0, 0), np.float32)
    return ReadBatch([row for row, _ in read], torch.from_numpy(waveforms), failures)
