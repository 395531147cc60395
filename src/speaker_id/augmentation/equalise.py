"""The colour of a microphone."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.filtering import Frequencies, filtered
from speaker_id.augmentation.mixing import below_full_scale, power, with_power
from speaker_id.contracts import FloatArray

_OCTAVES = 6  # below half the sample rate, 125 Hz to 8 kHz at 16 kHz; the curve goes on flat underneath


class Equalise:
    """A random smooth frequency response, the energy kept: (S,), rng -> (S,).

    `num_points` gains, uniform within `max_gain_db` either way, stand evenly over six octaves; a monotone cubic joins
    them, so that nothing between them goes beyond. An output that would pass full scale is scaled down.
    """

    def __init__(self, *, prob: float, max_gain_db: float, num_points: int) -> None:
        check_probability(prob)
        check_range("gain_db", 0, max_gain_db)
        check_at_least("num_points", num_points, 2)
        self.prob = prob
        self.max_gain_db = max_gain_db
        self.num_points = num_points

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        points = np.linspace(-_OCTAVES, 0, self.num_points)
        curve = PchipInterpolator(points, rng.uniform(-self.max_gain_db, self.max_gain_db, self.num_points))

        def magnitude(frequencies: Frequencies) -> Frequencies:
            octaves = np.log2(np.maximum(2 * frequencies, 2.0**-_OCTAVES))
            gains: Frequencies = 10 ** (curve(octaves) / 20)
            return gains

        return below_full_scale(with_power(filtered(waveform, magnitude), power(waveform)))
