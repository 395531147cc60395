"""Zero-phase filtering by a magnitude response."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from speaker_id.contracts import FloatArray

_ROOM = 2000  # samples of padding, where filters ring out from both ends instead of wrapping around
_KNOTS = np.concatenate([[0.0], np.geomspace(1e-3, 0.5, 256)])  # 28 an octave: curves are drawn there, then joined

Frequencies = NDArray[np.float64]


def filtered(waveform: FloatArray, magnitude: Callable[[Frequencies], Frequencies]) -> FloatArray:
    """(S,) -> (S,); `magnitude` maps cycles a sample in [0, 0.5] to gains, smooth over octaves."""
    return filtered_exactly(waveform, lambda frequencies: np.interp(frequencies, _KNOTS, magnitude(_KNOTS)))


def filtered_exactly(waveform: FloatArray, magnitude: Callable[[Frequencies], Frequencies]) -> FloatArray:
    """(S,) -> (S,); `magnitude` is asked at every bin: for curves too steep to be joined from a few points."""
    length = fft.next_fast_len(len(waveform) + _ROOM, real=True)
    gains = magnitude(np.fft.rfftfreq(length).astype(np.float64, copy=False))
    result: FloatArray = fft.irfft(fft.rfft(waveform, length) * gains.astype(np.float32), length)
    return result[: len(waveform)]
