"""Backwards in time."""

import numpy as np

from speaker_id.augmentation.checks import check_probability
from speaker_id.contracts import FloatArray


class ReverseAppend:
    """Plays backwards, from a random place and around the end: (S,), rng -> (S,).

    That is a random crop of the reversed waveform appended to itself: a voice keeps its spectrum, its words are gone.
    """

    def __init__(self, *, prob: float) -> None:
        check_probability(prob)
        self.prob = prob

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        return np.roll(waveform[::-1], -int(rng.integers(len(waveform))))
