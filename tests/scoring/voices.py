"""Made-up speakers whose recordings differ most where the speakers do not."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import metrics, scoring


class Voices(NamedTuple):
    rows: NDArray[np.float32]  # (N, E) unit rows
    speakers: list[str]

    def eer(self, back_end: scoring.PreparingBackEnd) -> float:
        """Over all pairs."""
        enrol, test = scoring.pair_indices(len(self.rows))
        same = np.array([self.speakers[i] == self.speakers[j] for i, j in zip(enrol, test, strict=True)])
        return metrics.eer(back_end.prepare(self.rows).all_pairs(), same).eer


def voices(num_speakers: int, per_speaker: int = 6, *, dim: int = 24, shift: float = 1.0, seed: int = 0) -> Voices:
    """Speaker variance falls from 2 to 0 over the dimensions; the session's lies in turned directions."""
    world, rng = np.random.default_rng(99), np.random.default_rng(seed)
    turned = world.normal(size=(dim, dim)) / np.sqrt(dim)
    people = rng.normal(size=(num_speakers, dim)) * np.sqrt(np.linspace(2, 0, dim))
    rows = np.repeat(people, per_speaker, axis=0)
    rows = rows + rng.normal(size=rows.shape) @ turned + 0.1 * rng.normal(size=rows.shape) + shift
    return Voices(scoring.normalise(rows), [f"s{i}" for i in range(num_speakers) for _ in range(per_speaker)])
