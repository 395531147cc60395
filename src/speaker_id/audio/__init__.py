"""The one door for sound: path, bytes, binary file or array -> mono float32 (S,) in [-1, 1]."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import soxr

from speaker_id.audio.addresses import is_url, shown
from speaker_id.audio.arrays import Samples, are_samples, opened_array
from speaker_id.audio.containers import opened_container, sniffed
from speaker_id.audio.recording import AudioInfo, Recording
from speaker_id.audio.soundfiles import READABLE, opened_file
from speaker_id.contracts import FloatArray, Source, as_path
from speaker_id.errors import AudioError

if TYPE_CHECKING:
    from speaker_id.audio.fetching import fetch

__all__ = [
    "READABLE",
    "SILENCE_PEAK",
    "AudioInfo",
    "Samples",
    "fetch",
    "info",
    "is_silent",
    "is_url",
    "load",
    "num_samples_at",
    "resample",
    "shown",
]

SILENCE_PEAK = 1e-4  # -80 dB of full scale: below the noise of any microphone, about 3 steps of 16-bit audio

_MARGIN = 400  # samples of the lower rate: beyond the reach of soxr's HQ filter


def __getattr__(name: str) -> Any:
    """`audio.fetch`, whose libraries for the web are loaded only when it is asked for."""
    if name == "fetch":
        from speaker_id.audio.fetching import fetch

        return fetch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(
    source: Source | Samples,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    start: int = 0,
    num: int | None = None,
    allow_urls: bool = False,
) -> FloatArray:
    """Read a recording as mono float32 (S,) in [-1, 1] at `sample_rate`, in memory of its own.

    `start` and `num` count samples at `sample_rate`; a crop holds the same samples as that stretch of the whole
    recording, and only its frames are read (mp3, opus below 48 kHz and what PyAV reads do not seek exactly: those are
    decoded from the start). Channels are averaged, integer arrays divided by their full scale, peaks over full scale
    clipped. A 2-D array is (C, S) or (S, C): its smaller side is the channels. A file object is read from its
    beginning, whatever its position, which is restored. Ogg, AAC and AMR files do not state their length: one that was
    cut short between two frames is just a shorter recording. READABLE says what is read.

    With `allow_urls` a text that begins with http:// or https:// is fetched (see `fetch` for its limits).

    Raises AudioError for what is missing, unreadable, truncated, empty, not finite or not scaled to [-1, 1], for an
    array without `source_rate`, and for a stretch outside the recording.
    """
    with _opened(source, source_rate, allow_urls) as recording:
        total = num_samples_at(recording.info, sample_rate)
        if total == 0:
            raise AudioError(f"{recording.name} holds no sound ({recording.info.num_samples} samples); record it again")
        num = total - start if num is None else num
        if start < 0 or num < 1 or start + num > total:
            raise AudioError(
                f"{recording.name} has {total} samples at {sample_rate} Hz; start={start} with num={num} lies outside"
            )
        waveform = _read_at_rate(recording, sample_rate, start, num)
    return np.clip(waveform, -1.0, 1.0, out=waveform)


def info(source: Source | Samples, *, source_rate: int | None = None) -> AudioInfo:
    """Length, own rate and channels, from the header alone; raises AudioError for what cannot be opened."""
    with _opened(source, source_rate) as recording:
        return recording.info


def num_samples_at(info: AudioInfo, sample_rate: int) -> int:
    """The exact length that `load(source, sample_rate)` returns: halves are rounded up, as soxr does."""
    if sample_rate < 1:
        raise AudioError(f"sample_rate must be a positive number of Hz, not {sample_rate}")
    return (2 * info.num_samples * sample_rate + info.sample_rate) // (2 * info.sample_rate)


def resample(waveform: FloatArray, source_rate: float, sample_rate: float) -> FloatArray:
    """(S,) -> (S',): band-limited conversion by soxr, quality HQ (-120 dB); always a new array."""
    if source_rate == sample_rate:
        return waveform.copy()
    return cast(FloatArray, soxr.resample(waveform, source_rate, sample_rate, quality="HQ"))


def is_silent(waveform: FloatArray) -> bool:
    """Whether no sample of (S,) reaches SILENCE_PEAK; such a recording has no energy to scale or embed."""
    return bool(max(waveform.max(initial=0.0), -waveform.min(initial=0.0)) < SILENCE_PEAK)


def _read_at_rate(recording: Recording, sample_rate: int, start: int, num: int) -> FloatArray:
    rate = recording.info.sample_rate
    if rate == sample_rate:
        return recording.read(start, num)
    # The crop keeps the phase of the whole if it begins where both rates have a sample: every `up` of ours.
    up, down = sample_rate // gcd(rate, sample_rate), rate // gcd(rate, sample_rate)
    margin = _MARGIN * max(1, -(-sample_rate // rate))
    shared = max(0, start - margin) // up
    first = shared * down
    last = min(recording.info.num_samples, -(-(start + num + margin) * down // up))
    offset = start - shared * up
    return resample(recording.read(first, last - first), rate, sample_rate)[offset : offset + num].copy()


@contextmanager
def _opened(source: Source | Samples, source_rate: int | None, allow_urls: bool = False) -> Iterator[Recording]:
    if are_samples(source):
        if source_rate is None:
            raise AudioError("<array> comes without its sample rate; pass (array, rate) or source_rate=")
        yield opened_array(source, source_rate)
        return
    if source_rate is not None:
        raise AudioError("source_rate is for bare arrays; files and (array, rate) pairs state their own")
    if isinstance(source, tuple):
        if len(source) != 2 or not are_samples(source[0]):
            raise AudioError("a tuple must be (array, sample rate), in this order")
        yield opened_array(*source)
    elif allow_urls and isinstance(source, str) and is_url(source):
        from speaker_id.audio.fetching import fetch

        with _opened_file(io.BytesIO(fetch(source)), shown(source)) as recording:
            yield recording
    elif isinstance(source, str | os.PathLike):
        path = as_path(source)
        with _opened_path(path) as file, _opened_file(file, str(path), path) as recording:
            yield recording
    elif isinstance(source, bytes | bytearray | memoryview):
        with _opened_file(io.BytesIO(source), "<bytes>") as recording:
            yield recording
    else:
        with _rewound(cast(BinaryIO, source)) as file, _opened_file(file, "<file>") as recording:
            yield recording


@contextmanager
def _opened_file(file: BinaryIO, name: str, path: Path | None = None) -> Iterator[Recording]:
    """Read by libsndfile, or where the first bytes name a container that it does not know, by ffmpeg's libraries.

    libsndfile opens a path by itself: it reads faster without our file between.
    """
    head = file.read(16)
    file.seek(0)
    if not head:
        raise AudioError(f"{name} is an empty file; record or copy it again")
    container = sniffed(head)
    with opened_file(path or file, name) if container is None else opened_container(file, name, container) as recording:
        yield recording


def _opened_path(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        if is_url(path):
            raise AudioError(
                f"{shown(path)} is an address on the web, and nothing is fetched unasked: download it, or ask for "
                "it with allow_urls=True (on the command line: --allow-urls)"
            ) from error
        raise AudioError(f"{path} cannot be opened: {error.strerror or error}; check the path") from error


@contextmanager
def _rewound(file: BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, io.TextIOBase) or not all(hasattr(file, name) for name in ("read", "seek", "tell")):
        kind = type(file).__name__
        raise AudioError(f"cannot read sound from {kind}; pass a path, bytes, a binary file or (array, rate)")
    try:
        position = file.tell()
        file.seek(0)
    except (OSError, ValueError) as error:
        raise AudioError(f"<file> cannot be rewound ({error}); read it and pass the bytes") from error
    try:
        yield file
    finally:
        file.seek(position)
