"""Augmentations one after another, or one of several."""

from collections.abc import Mapping

import numpy as np

from speaker_id.augmentation.checks import check_probability
from speaker_id.contracts import FloatArray, WaveformAugmentation
from speaker_id.errors import ConfigError


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


class OneOf:
    """Applies one of its named steps, drawn anew for every call: (S,), rng -> (S,). A step set to None is left out.

    Steps are drawn in proportion to `weights` (1 where none is given); the drawn step then follows its own `prob`.
    """

    def __init__(
        self, *, prob: float, weights: Mapping[str, float] | None = None, **steps: WaveformAugmentation | None
    ) -> None:
        check_probability(prob)
        given = dict(weights or {})
        unknown = sorted(given.keys() - steps.keys())
        if unknown:
            raise ConfigError(f"weights name {', '.join(unknown)}, but the steps are {', '.join(steps) or 'none'}")
        self.prob = prob
        self.steps = {name: step for name, step in steps.items() if step is not None}
        sizes = [float(given.get(name, 1)) for name in self.steps]
        if not all(size >= 0 for size in sizes) or not sum(sizes) > 0:
            raise ConfigError(f"weights must be 0 or more, and one of them more than 0, not {given}")
        self.shares = np.array(sizes) / sum(sizes)

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob:
            return waveform
        return list(self.steps.values())[rng.choice(len(self.shares), p=self.shares)](waveform, rng)
