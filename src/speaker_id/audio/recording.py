"""A recording opened, whatever it came as: its name, its header, and a way to read a stretch of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

MAX_CHANNELS = 16
BLOCK = 1 << 20  # frames; reading in blocks keeps a lying header from claiming the memory

_RATES = range(1000, 1_000_001)  # Hz; from a rate of 1 Hz every sample would become thousands
_MAX_FLOAT_PEAK = 8.0  # 18 dB over full scale: hot float recordings stay below, floats in 16-bit scale do not


class AudioInfo(NamedTuple):
    """What a recording's header says; `num_samples` counts per channel, at its own rate."""

    num_samples: int
    sample_rate: int
    num_channels: int


class Recording(NamedTuple):
    """`read` takes first and count at the recording's own rate, and returns mono (S,) in memory of its own."""

    name: str
    info: AudioInfo
    read: Callable[[int, int], FloatArray]


def check_rate(rate: int, name: str) -> None:
    """Raises AudioError for a sample rate at which no voice is recorded: a damaged header, or a mistake."""
    if rate not in _RATES:
        raise AudioError(
            f"{name} cannot have a sample rate of {rate} Hz: voices are recorded at {_RATES[0]} to {_RATES[-1]} Hz"
        )


def full_scale(samples: NDArray[Any], name: str) -> FloatArray:
    """Samples of any usual type -> float32 in [-1, 1]; integers are divided by their full scale."""
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and reported as such
            return samples.astype(np.float32)
    if kind not in "iu" or bits > 32 or (kind == "u" and bits > 8):
        raise AudioError(f"{name} of {samples.dtype} has no agreed full scale; pass floats in [-1, 1], int16 or int32")
    centre = np.float32(128 if kind == "u" else 0)  # 8-bit sound is unsigned
    return (samples.astype(np.float32) - centre) / np.float32(2 ** (bits - 1))


def mix_down(channels: FloatArray) -> FloatArray:
    """(C, S) -> (S,): the mean of the channels."""
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite channels, which are reported as such
        return cast(FloatArray, np.ascontiguousarray(channels).mean(axis=0))


def checked(waveform: FloatArray, name: str) -> FloatArray:
    """(S,), if it is finite and scaled to [-1, 1]; otherwise raises AudioError."""
    peak = max(waveform.max(), -waveform.min())  # NaN and infinity survive both
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds samples that are NaN or infinite; write it again")
    if peak > _MAX_FLOAT_PEAK:
        raise AudioError(f"{name} reaches {peak:.6g}, but floats lie in [-1, 1]; divide by full scale (16-bit: 32768)")
    return waveform
