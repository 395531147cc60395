"""Telephones and narrow microphones."""

import numpy as np

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.filtering import Frequencies, filtered
from speaker_id.augmentation.mixing import below_full_scale
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError

_ORDER = 6  # 36 dB an octave


class BandLimit:
    """Keeps a random band, Butterworth edges of order 6 with zero phase: (S,), rng -> (S,).

    Both edges (-3 dB) are uniform in Hz: low in [`min_low_hz`, `max_low_hz`], high in [`min_high_hz`, `max_high_hz`].
    An 8 kHz telephone line keeps 300 to 3400 Hz.
    """

    def __init__(
        self,
        *,
        prob: float,
        min_low_hz: float,
        max_low_hz: float,
        min_high_hz: float,
        max_high_hz: float,
        sample_rate: int,
    ) -> None:
        check_probability(prob)
        check_at_least("sample_rate", sample_rate, 1)
        check_range("low_hz", min_low_hz, max_low_hz, at_least=1, at_most=sample_rate / 2)
        check_range("high_hz", min_high_hz, max_high_hz, at_least=1, at_most=sample_rate / 2)
        if max_low_hz >= min_high_hz:
            raise ConfigError(f"max_low_hz = {max_low_hz} must lie below min_high_hz = {min_high_hz}")
        self.prob = prob
        self.low_hz = (min_low_hz, max_low_hz)
        self.high_hz = (min_high_hz, max_high_hz)
        self.sample_rate = sample_rate

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        low, high = rng.uniform(*self.low_hz) / self.sample_rate, rng.uniform(*self.high_hz) / self.sample_rate

        def magnitude(frequencies: Frequencies) -> Frequencies:
            rise = (low / np.maximum(frequencies, low / 1000)) ** (2 * _ORDER)
            fall = (frequencies / high) ** (2 * _ORDER)
            return 1 / np.sqrt((1 + rise) * (1 + fall))

        return below_full_scale(filtered(waveform, magnitude))
