"""Overdriven microphones."""

import numpy as np

from speaker_id.augmentation.checks import check_probability, check_range
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError


class Clipping:
    """Cuts the peaks off: (S,), rng -> (S,); the level of what lies below them stays.

    How much is uniform, either in the part of the samples that is cut (`min_fraction` … `max_fraction`), or in the gain
    in dB by which the highest peak passes the limit (`min_gain_db` … `max_gain_db`); the other two are None.
    """

    def __init__(
        self,
        *,
        prob: float,
        min_fraction: float | None,
        max_fraction: float | None,
        min_gain_db: float | None,
        max_gain_db: float | None,
    ) -> None:
        check_probability(prob)
        self.prob = prob
        self.fraction = _pair("fraction", min_fraction, max_fraction, at_most=0.99)
        self.gain_db = _pair("gain_db", min_gain_db, max_gain_db, at_most=100)
        if (self.fraction is None) == (self.gain_db is None):
            raise ConfigError("clipping goes by fraction or by gain_db: give one pair, and null for the other")

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        limit = np.float32(self._limit(np.abs(waveform), rng))
        return np.clip(waveform, -limit, limit)

    def _limit(self, magnitude: FloatArray, rng: np.random.Generator) -> float:
        if self.gain_db is not None:
            return float(magnitude.max() / 10 ** (rng.uniform(*self.gain_db) / 20))
        assert self.fraction is not None
        cut = int(rng.uniform(*self.fraction) * len(magnitude))
        limit = float(np.partition(magnitude, len(magnitude) - 1 - cut)[len(magnitude) - 1 - cut])
        return limit or float(magnitude.max())  # mostly silence: a limit of 0 would leave nothing


def _pair(name: str, low: float | None, high: float | None, *, at_most: float) -> tuple[float, float] | None:
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise ConfigError(f"min_{name} = {low} and max_{name} = {high} must both be given, or both be null")
    check_range(name, low, high, at_least=0, at_most=at_most)
    return low, high
