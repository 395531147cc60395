"""Other people talking."""

import os

import numpy as np

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.mixing import below_full_scale, noise_at_snr, with_power
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray


class Babble:
    """Adds several talkers of equal level, their sum at one ratio to the speech: (S,), rng -> (S,).

    `folder` holds recordings of speech; with three and more talkers nobody can be understood, so that the label stays
    true (Snyder et al. 2018, "X-vectors", use 3 to 7). The ratio is uniform in dB and holds over the whole waveform.
    """

    def __init__(
        self,
        *,
        prob: float,
        min_snr_db: float,
        max_snr_db: float,
        min_talkers: int,
        max_talkers: int,
        sample_rate: int,
        folder: str | os.PathLike[str],
    ) -> None:
        check_probability(prob)
        check_range("snr_db", min_snr_db, max_snr_db)
        check_at_least("min_talkers", min_talkers, 1)
        check_at_least("max_talkers", max_talkers, min_talkers)
        self.prob = prob
        self.snr_db = (min_snr_db, max_snr_db)
        self.num_talkers = (min_talkers, max_talkers)
        self.talkers = SoundFolder(folder, sample_rate, instead="give any folder of speech, or `augmentation=none`")

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        babble = np.zeros_like(waveform)
        for _ in range(rng.integers(*self.num_talkers, endpoint=True)):
            babble += with_power(self.talkers.draw(len(waveform), rng), 1.0)
        return below_full_scale(waveform + noise_at_snr(waveform, babble, rng.uniform(*self.snr_db)))
