"""Gaps in time."""

import numpy as np

from speaker_id.augmentation.checks import check_at_least, check_probability
from speaker_id.contracts import FloatArray


class ChunkDrop:
    """Silences some stretches: (S,), rng -> (S,).

    Their number is uniform in [`min_chunks`, `max_chunks`], their lengths in [`min_samples`, `max_samples`], their
    places anywhere; they may overlap. A waveform of which nothing would be left is not touched.
    """

    def __init__(self, *, prob: float, min_chunks: int, max_chunks: int, min_samples: int, max_samples: int) -> None:
        check_probability(prob)
        check_at_least("min_chunks", min_chunks, 1)
        check_at_least("max_chunks", max_chunks, min_chunks)
        check_at_least("min_samples", min_samples, 1)
        check_at_least("max_samples", max_samples, min_samples)
        self.prob = prob
        self.num_chunks = (min_chunks, max_chunks)
        self.num_samples = (min_samples, max_samples)

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        dropped = waveform.copy()
        for _ in range(rng.integers(*self.num_chunks, endpoint=True)):
            num = min(int(rng.integers(*self.num_samples, endpoint=True)), len(waveform))
            start = int(rng.integers(len(waveform) - num, endpoint=True))
            dropped[start : start + num] = 0
        return dropped if dropped.any() else waveform
