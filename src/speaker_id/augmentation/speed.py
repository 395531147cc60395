"""Speed perturbation: tempo and pitch together (Ko et al. 2015, "Audio augmentation for speech recognition")."""

from collections.abc import Sequence

import numpy as np

from speaker_id import audio
from speaker_id.augmentation.checks import check_at_least, check_probability, check_rates
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError


def change_speed(waveform: FloatArray, rate: float, sample_rate: int) -> FloatArray:
    """(S,) -> (S',), S' = S / rate rounded: at 1.1 shorter and higher in pitch by that factor.

    Band-limited by soxr HQ, 1 ms for 3 s at 16 kHz. Where every speed is a speaker of its own, the data list uses this.
    """
    return audio.resample(waveform, rate * sample_rate, sample_rate)


class Speed:
    """Plays at another speed, the label kept: (S,), rng -> (S,); slowed ends are cut, hurried ones wrap around.

    The speeds are `rates`, or, where that is None, `num_rates` evenly from `min_rate` to `max_rate`; a negative
    `num_rates` means any speed between the two.
    """

    def __init__(
        self,
        *,
        prob: float,
        rates: Sequence[float] | None,
        sample_rate: int,
        min_rate: float | None = None,
        max_rate: float | None = None,
        num_rates: int | None = None,
    ) -> None:
        check_probability(prob)
        check_at_least("sample_rate", sample_rate, 1)
        self.prob = prob
        self.any_between = rates is None and num_rates is not None and num_rates < 0
        self.rates = _evenly(min_rate, max_rate, num_rates) if rates is None else tuple(rates)
        check_rates(self.rates)
        if rates is not None and not (min_rate is max_rate is num_rates is None):
            raise ConfigError("give either rates, or min_rate, max_rate and num_rates; set the others to null")
        self.sample_rate = sample_rate

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob:
            return waveform
        if self.any_between:
            rate = rng.uniform(min(self.rates), max(self.rates))
        else:
            rate = self.rates[rng.integers(len(self.rates))]
        return np.resize(change_speed(waveform, rate, self.sample_rate), len(waveform))


def _evenly(low: float | None, high: float | None, num: int | None) -> tuple[float, ...]:
    """The speeds; below zero speeds are any, and the two ends are returned."""
    if low is None or high is None or num is None or not low <= high or num == 0:
        raise ConfigError(
            f"without rates, min_rate = {low} and max_rate = {high} must be given in rising order, "
            f"and num_rates = {num} as a count (-1: any speed between)"
        )
    return (low, high) if num < 0 else tuple(float(rate) for rate in np.linspace(low, high, num))
