"""Other people talking."""

import os

import numpy as np
from scipy import fft

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.mixing import below_full_scale, noise_at_snr, with_power
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray

_SYLLABLE_POINTS = 8  # a second: syllables come at 4 Hz


class SyllabicNoise:
    """Noise with the long-term spectrum and the rhythm of a talker: the stand-in where no recordings are at hand.

    Flat to 500 Hz, then falling by 9 dB an octave (after Byrne et al. 1994), nothing below 80 Hz; its level moves as
    syllables do, from one random point to the next, 8 of them a second (Rayleigh: 90 % lie within 18 dB).
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def draw(self, num: int, rng: np.random.Generator) -> FloatArray:
        length = fft.next_fast_len(max(num, 2 * self.sample_rate // 80), real=True)
        frequencies = np.fft.rfftfreq(length, 1 / self.sample_rate).astype(np.float32)
        above = np.maximum(frequencies / 500, 1)
        amplitude = (frequencies > 80) / (above * np.sqrt(above))
        real, imaginary = rng.standard_normal((2, len(frequencies)), dtype=np.float32)
        noise: FloatArray = fft.irfft(amplitude * (real + 1j * imaginary), length)[:num]
        points = rng.rayleigh(size=2 + _SYLLABLE_POINTS * num // self.sample_rate)
        times = (rng.random() + np.arange(num) * (_SYLLABLE_POINTS / self.sample_rate)).clip(0, len(points) - 1)
        noise *= np.interp(times, np.arange(len(points)), points).astype(np.float32)
        return noise


class Babble:
    """Adds several talkers of equal level, their sum at one ratio to the speech: (S,), rng -> (S,).

    `folder` holds recordings of speech, or is a list of them; with three and more talkers nobody can be understood, so
    that the label stays true (Snyder et al. 2018, "X-vectors", use 3 to 7). Where it is None the talkers are generated
    (`SyllabicNoise`). The ratio is uniform in dB and holds over the whole waveform.
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
        folder: str | os.PathLike[str] | None,
    ) -> None:
        check_probability(prob)
        check_range("snr_db", min_snr_db, max_snr_db)
        check_at_least("min_talkers", min_talkers, 1)
        check_at_least("max_talkers", max_talkers, min_talkers)
        self.prob = prob
        self.snr_db = (min_snr_db, max_snr_db)
        self.num_talkers = (min_talkers, max_talkers)
        self.talkers = (
            SyllabicNoise(sample_rate)
            if folder is None or prob == 0  # switched off, its folder need not be there
            else SoundFolder(folder, sample_rate, instead=_INSTEAD)
        )

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        babble = np.zeros_like(waveform)
        for _ in range(rng.integers(*self.num_talkers, endpoint=True)):
            babble += with_power(self.talkers.draw(len(waveform), rng), 1.0)
        return below_full_scale(waveform + noise_at_snr(waveform, babble, rng.uniform(*self.snr_db)))


_INSTEAD = (
    "give any folder of speech or a data list (MUSAN has some: openslr.org/17), "
    "`augmentation.waveform.babble.folder=null` for generated talkers, or `augmentation=none`"
)
