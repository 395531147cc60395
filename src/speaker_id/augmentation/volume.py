"""Level."""

import numpy as np

from speaker_id.augmentation.checks import check_probability, check_range
from speaker_id.contracts import FloatArray


class Volume:
    """Gain uniform in dB, held back where the peak would pass full scale: (S,), rng -> (S,)."""

    def __init__(self, *, prob: float, min_db: float, max_db: float) -> None:
        check_probability(prob)
        check_range("db", min_db, max_db)
        self.prob = prob
        self.gain_db = (min_db, max_db)

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        gain = 10 ** (rng.uniform(*self.gain_db) / 20)
        return waveform * np.float32(min(gain, 1 / np.abs(waveform).max()))
