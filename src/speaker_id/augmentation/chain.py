"""Augmentations one after another."""

import numpy as np

from speaker_id.contracts import FloatArray, WaveformAugmentation


class Chain:
    """Applies its named steps in the order given: (S,), rng -> (S,). A step set to None is left out.

    The names make single options reachable: `augmentation.waveform.noise.prob=0.3`, `augmentation.waveform.noise=null`.
    """

    def __init__(self, **steps: WaveformAugmentation | None) -> None:
        self.steps = {name: step for name, step in steps.items() if step is not None}

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        for step in self.steps.values():
            waveform = step(waveform, rng)
        return waveform
