"""Levels: power, mixing at a signal-to-noise ratio, and the ceiling of full scale. (S,) float32 throughout."""

from typing import cast

import numpy as np

from speaker_id.contracts import FloatArray


def power(waveform: FloatArray) -> float:
    """Mean square over the whole waveform."""
    return float(np.dot(waveform, waveform)) / len(waveform)


def with_power(waveform: FloatArray, target: float) -> FloatArray:
    """The waveform scaled to a mean square of `target`; zeros stay zeros."""
    present = power(waveform)
    return waveform * np.float32(np.sqrt(target / present)) if present > 0 else waveform.copy()


def noise_at_snr(speech: FloatArray, noise: FloatArray, snr_db: float) -> FloatArray:
    """`noise` scaled so that 10 log10(power of speech / power of noise) = `snr_db`."""
    return with_power(noise, power(speech) / 10 ** (snr_db / 10))


def below_full_scale(waveform: FloatArray) -> FloatArray:
    """Scaled down to a peak of 1 where it would pass it: ratios inside the mix stay, and nothing clips."""
    peak = np.abs(waveform).max()
    return cast(FloatArray, waveform / peak) if peak > 1 else waveform
