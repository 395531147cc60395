"""The one door for sound: path, bytes, binary file or array -> mono float32 (S,) in [-1, 1]."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from torch import Tensor

from speaker_id.contracts import FloatArray, Source, as_path
from speaker_id.errors import AudioError

Samples = NDArray[np.generic] | Tensor

SILENCE_PEAK = 1e-4  # -80 dB of full scale: below the noise of any microphone, about 3 steps of 16-bit audio
READABLE = "wav, flac, mp3, ogg (vorbis, opus), aiff, au, caf and w64"

_MAX_CHANNELS = 16
_MAX_FLOAT_PEAK = 8.0  # 18 dB over full scale: hot float recordings stay below, floats in 16-bit scale do not
_BLOCK = 1 << 20  # frames; reading in blocks keeps a lying header from claiming the memory
_MARGIN = 400  # samples of the lower rate: beyond the reach of soxr's HQ filter
_UNKNOWN_LENGTH = 0x7FFF0000  # bytes; recorders that write into a pipe put such sizes into the header
_CUT_SHORT = re.compile(r"^ *(?:data|SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
_CONTAINERS = {
    "MP4/M4A": re.compile(rb"....ftyp", re.DOTALL),
    "WebM/Matroska": re.compile(rb"\x1aE\xdf\xa3"),
    "WMA": re.compile(rb"0&\xb2u"),
    "AMR": re.compile(rb"#!AMR"),
}


class AudioInfo(NamedTuple):
    """What a recording's header says; `num_samples` counts per channel, at its own rate."""

    num_samples: int
    sample_rate: int
    num_channels: int


class _Recording(NamedTuple):
    name: str
    info: AudioInfo
    read: Callable[[int, int], FloatArray]  # first, count at its own rate -> mono


class _Decoder(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on from where it is: soundfile seeks there after every read, and mp3 loses its place by it."""

    def seekable(self) -> bool:
        return False


def load(
    source: Source | Samples,
    sample_rate: int,
    *,
    source_rate: int | None = None,
    start: int = 0,
    num: int | None = None,
) -> FloatArray:
    """Read a recording as mono float32 (S,) in [-1, 1] at `sample_rate`, in memory of its own.

    `start` and `num` count samples at `sample_rate`; a crop holds the same samples as that stretch of the whole
    recording, and only its frames are read (mp3, and opus below 48 kHz, do not seek exactly: decoded from the start).
    Channels are averaged, integer arrays divided by their full scale, peaks over full scale clipped. A 2-D array is
    (C, S) or (S, C): its smaller side is the channels. A file object is read from its beginning, whatever its position,
    which is restored. Ogg files do not state their length, so one that was cut short is just a shorter recording.

    Raises AudioError for what is missing, unreadable, truncated, empty, not finite or not scaled to [-1, 1], for an
    array without `source_rate`, and for a stretch outside the recording.
    """
    with _opened(source, source_rate) as recording:
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


def _read_at_rate(recording: _Recording, sample_rate: int, start: int, num: int) -> FloatArray:
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
def _opened(source: Source | Samples, source_rate: int | None) -> Iterator[_Recording]:
    if isinstance(source, np.ndarray | Tensor):
        if source_rate is None:
            raise AudioError("<array> comes without its sample rate; pass (array, rate) or source_rate=")
        yield _from_array(source, source_rate)
        return
    if source_rate is not None:
        raise AudioError("source_rate is for bare arrays; files and (array, rate) pairs state their own")
    if isinstance(source, tuple):
        if len(source) != 2 or not isinstance(source[0], np.ndarray | Tensor):
            raise AudioError("a tuple must be (array, sample rate), in this order")
        yield _from_array(*source)
    elif isinstance(source, str | os.PathLike):
        path = as_path(source)
        _check_readable(path)
        with _decoder(path, str(path)) as recording:
            yield recording
    elif isinstance(source, bytes | bytearray | memoryview):
        with _decoder(io.BytesIO(source), "<bytes>") as recording:
            yield recording
    else:
        with _rewound(source) as file, _decoder(file, "<file>") as recording:
            yield recording


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
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


@contextmanager
def _decoder(file: Path | BinaryIO, name: str) -> Iterator[_Recording]:
    try:
        decoder = _Decoder(file)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
        raise AudioError(f"{name} {_why_unreadable(file)}") from error
    with decoder:
        if decoder.frames > np.iinfo(np.int64).max // 2:
            raise AudioError(f"{name} does not state its length (written into a pipe?); {_convert_hint()}")
        cut = _CUT_SHORT.search(decoder.extra_info)  # its log; libsndfile goes on with what is left of a cut file
        if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_LENGTH:
            raise AudioError(f"{name} is truncated: {cut[2]} of {cut[1]} bytes of sound are there; copy it again")
        header = AudioInfo(decoder.frames, decoder.samplerate, decoder.channels)
        yield _Recording(name, header, lambda first, num: _decode(decoder, name, first, num))


def _decode(decoder: _Decoder, name: str, first: int, num: int) -> FloatArray:
    # After a seek libsndfile misses the mp3 bit reservoir, and a fraction of a sample where opus is not at 48 kHz.
    seeks = decoder.format != "MP3" and (decoder.subtype != "OPUS" or decoder.samplerate == 48000)
    skip, blocks, left = (0 if seeks else first), [], num + (0 if seeks else first)
    try:
        if seeks and first:
            decoder.seek(first)
        while left and len(block := decoder.read(min(left, _BLOCK), dtype="float32", always_2d=True)):
            blocks.append(_mix_down(block.T))
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name} is damaged or truncated ({error.error_string}); copy it again") from error
    if left:
        raise AudioError(f"{name} is truncated: it ends {left} samples early; copy it again, or {_convert_hint()}")
    waveform = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return _checked(waveform[skip:].copy() if skip else waveform, name)


def _from_array(array: Samples, rate: int) -> _Recording:
    if isinstance(array, Tensor):
        array = (array.float() if array.is_floating_point() else array).detach().cpu().numpy()
    if rate < 1:
        raise AudioError(f"<array> cannot have a sample rate of {rate} Hz")
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        raise AudioError(f"<array> of shape {array.shape}: channels and samples cannot be told apart; pass (S,)")
    if array.ndim not in (1, 2) or (array.ndim == 2 and min(array.shape) > _MAX_CHANNELS):
        raise AudioError(f"<array> of shape {array.shape} is not one recording; pass (S,), (C, S) or (S, C)")
    channels = array[None] if array.ndim == 1 else array if array.shape[0] < array.shape[1] else array.T

    def read(first: int, num: int) -> FloatArray:
        return _checked(_mix_down(_full_scale(channels[:, first : first + num])), "<array>")

    return _Recording("<array>", AudioInfo(channels.shape[1], rate, channels.shape[0]), read)


def _full_scale(samples: NDArray[Any]) -> FloatArray:
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and reported as such
            return samples.astype(np.float32)
    if kind not in "iu" or bits > 32 or (kind == "u" and bits > 8):
        raise AudioError(f"<array> of {samples.dtype} has no agreed full scale; pass floats in [-1, 1], int16 or int32")
    centre = np.float32(128 if kind == "u" else 0)  # 8-bit sound is unsigned
    return (samples.astype(np.float32) - centre) / np.float32(2 ** (bits - 1))


def _mix_down(channels: NDArray[np.float32]) -> FloatArray:
    """(C, S) -> (S,)."""
    return cast(FloatArray, np.ascontiguousarray(channels).mean(axis=0))


def _checked(waveform: FloatArray, name: str) -> FloatArray:
    peak = max(waveform.max(), -waveform.min())  # NaN and infinity survive both
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds samples that are NaN or infinite; write it again")
    if peak > _MAX_FLOAT_PEAK:
        raise AudioError(f"{name} reaches {peak:.6g}, but floats lie in [-1, 1]; divide by full scale (16-bit: 32768)")
    return waveform


def _why_unreadable(file: Path | BinaryIO) -> str:
    head = _first_bytes(file)
    if not head:
        return "is an empty file; record or copy it again"
    kind = next((kind for kind, magic in _CONTAINERS.items() if magic.match(head)), None)
    found = f"is {kind}, which is not read" if kind else "is not audio in a known format, or its header is damaged"
    return f"{found}; {_convert_hint()}"


def _first_bytes(file: Path | BinaryIO) -> bytes:
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(16)
    file.seek(0)
    return file.read(16)


def _convert_hint() -> str:
    return f"convert it with `ffmpeg -i INPUT -ac 1 -ar 16000 output.wav` (read are {READABLE})"
