"""Speed perturbation: tempo and pitch together (Ko et al. 2015, "Audio augmentation for speech recognition")."""

from collections.abc import Sequence

import numpy as np

from speaker_id import audio
from speaker_id.augmentation.checks import check_at_least, check_probability, check_rates
from speaker_id.contracts import FloatArray


def change_speed(waveform: FloatArray, rate: float, sample_rate: int) -> FloatArray:
    """(S,) -> (S',), S' = S / rate rounded: at 1.1 shorter and higher in pitch by that factor.

    Band-limited by soxr HQ, 1 ms for 3 s at 16 kHz. Where every speed is a speaker of its own, the data list uses this.
    """
    return audio.resample(waveform, rate * sample_rate, sample_rate)


class Speed:
    """Plays at one of `rates`, the label kept: (S,), rng -> (S,); slowed ends are cut, hurried ones wrap around."""

    def __init__(self, *, prob: float, rates: Sequence[float], sample_rate: int) -> None:
        check_probability(prob)
        check_rates(rates)
        check_at_least("sample_rate", sample_rate, 1)
        self.prob = prob
        self.rates = tuple(rates)
        self.sample_rate = sample_rate

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob:
            return waveform
        rate = self.rates[rng.integers(len(self.rates))]
        return np.resize(change_speed(waveform, rate, self.sample_rate), len(waveform))
