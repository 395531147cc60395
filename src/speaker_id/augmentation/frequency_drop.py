"""Gaps in the spectrum."""

import numpy as np

from speaker_id.augmentation.checks import check_at_least, check_probability
from speaker_id.augmentation.filtering import Frequencies, filtered_exactly
from speaker_id.augmentation.mixing import below_full_scale
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError


class FrequencyDrop:
    """Takes some bands away, zero phase: (S,), rng -> (S,).

    Their number is uniform in [`min_bands`, `max_bands`]. Each is `width` wide, as a part of half the sample rate, and
    lies anywhere within it; over another quarter of the width on either side the gain rises back to 1.
    """

    def __init__(self, *, prob: float, min_bands: int, max_bands: int, width: float) -> None:
        check_probability(prob)
        check_at_least("min_bands", min_bands, 1)
        check_at_least("max_bands", max_bands, min_bands)
        if not 0.002 <= width <= 0.5:
            raise ConfigError(f"width must lie in [0.002, 0.5] of half the sample rate, not {width}")
        self.prob = prob
        self.num_bands = (min_bands, max_bands)
        self.width = width

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        half = self.width / 4  # in cycles a sample, where half the sample rate is 0.5
        centres = rng.uniform(half, 0.5 - half, rng.integers(*self.num_bands, endpoint=True))

        def magnitude(frequencies: Frequencies) -> Frequencies:
            outside = np.abs(frequencies[:, None] - centres).min(axis=1) - half
            rise: Frequencies = np.clip(outside / (half / 2), 0, 1)
            gains: Frequencies = 0.5 - 0.5 * np.cos(np.pi * rise)
            return gains

        return below_full_scale(filtered_exactly(waveform, magnitude))
