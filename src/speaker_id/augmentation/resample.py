"""Another sample rate and back: what a recording loses on its way through other equipment."""

from collections.abc import Sequence

import numpy as np

from speaker_id import audio
from speaker_id.augmentation.checks import check_at_least, check_probability
from speaker_id.augmentation.mixing import below_full_scale
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError

_LOWEST, _HIGHEST = 2000, 192000  # Hz; below, speech is gone


class Resample:
    """Converts to one of `rates` and back, so that the rate is kept: (S,), rng -> (S,).

    A lower rate takes all above its half away, a higher one changes next to nothing. Both ways are linear phase
    (soxr HQ), so nothing is delayed.
    """

    def __init__(self, *, prob: float, rates: Sequence[int], sample_rate: int) -> None:
        check_probability(prob)
        check_at_least("sample_rate", sample_rate, 1)
        if not rates or not all(_LOWEST <= rate <= _HIGHEST for rate in rates):
            raise ConfigError(f"rates must be one or more between {_LOWEST} and {_HIGHEST} Hz, not {list(rates)}")
        self.prob = prob
        self.rates = tuple(rates)
        self.sample_rate = sample_rate

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        rate = self.rates[rng.integers(len(self.rates))]
        there = audio.resample(waveform, self.sample_rate, rate)
        return below_full_scale(of_length(audio.resample(there, rate, self.sample_rate), len(waveform)))


def of_length(waveform: FloatArray, num: int) -> FloatArray:
    """(S,) -> (num,): the end is cut, or filled up with silence."""
    return waveform[:num] if len(waveform) >= num else np.pad(waveform, (0, num - len(waveform)))
