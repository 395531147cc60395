"""A little later or earlier."""

import numpy as np

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.contracts import FloatArray


class Shift:
    """Moves the sound in time, silence moving in behind it: (S,), rng -> (S,).

    The shift is uniform in [`min_ms`, `max_ms`] milliseconds, rounded to samples; above 0 the sound comes later. One
    sample at least stays in view.
    """

    def __init__(self, *, prob: float, min_ms: float, max_ms: float, sample_rate: int) -> None:
        check_probability(prob)
        check_range("ms", min_ms, max_ms, at_least=-10_000, at_most=10_000)
        check_at_least("sample_rate", sample_rate, 1)
        self.prob = prob
        self.shift_ms = (min_ms, max_ms)
        self.sample_rate = sample_rate

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        longest = len(waveform) - 1
        later = int(np.clip(round(rng.uniform(*self.shift_ms) * self.sample_rate / 1000), -longest, longest))
        shifted = np.roll(waveform, later)
        shifted[slice(later) if later >= 0 else slice(later, None)] = 0
        return shifted
