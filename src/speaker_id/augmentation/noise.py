"""Additive noise."""

import os

import numpy as np
from scipy import fft

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.mixing import below_full_scale, noise_at_snr
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray


class ColouredNoise:
    """Gaussian noise whose power falls as 1 / f^a, a uniform in [`min_slope`, `max_slope`]: 0 white, 1 pink, 2 brown.

    Below 50 Hz the spectrum is flat: brown noise would otherwise spend its power where no speech is.
    """

    def __init__(self, sample_rate: int, *, min_slope: float = 0.0, max_slope: float = 2.0) -> None:
        check_range("slope", min_slope, max_slope, at_least=0, at_most=2)
        self.sample_rate = sample_rate
        self.slope = (min_slope, max_slope)

    def draw(self, num: int, rng: np.random.Generator) -> FloatArray:
        length = fft.next_fast_len(max(num, 2), real=True)
        frequencies = np.fft.rfftfreq(length, 1 / self.sample_rate).astype(np.float32)
        amplitude = np.maximum(frequencies, 50) ** np.float32(-rng.uniform(*self.slope) / 2)
        real, imaginary = rng.standard_normal((2, len(frequencies)), dtype=np.float32)
        noise: FloatArray = fft.irfft(amplitude * (real + 1j * imaginary), length)
        return noise[:num]


class AddNoise:
    """Adds 1 to `max_layers` noises, each at its own ratio to the speech: (S,), rng -> (S,).

    The ratio is uniform in dB and holds over the whole waveform. Noises come from the audio files of `folder` (or of a
    list, see `SoundFolder`, also for `whole_files`), or are generated (`ColouredNoise`) when it is None. A mix that
    would pass full scale is scaled down as a whole.
    """

    def __init__(
        self,
        *,
        prob: float,
        min_snr_db: float,
        max_snr_db: float,
        max_layers: int,
        sample_rate: int,
        folder: str | os.PathLike[str] | None,
        whole_files: bool = False,
    ) -> None:
        check_probability(prob)
        check_range("snr_db", min_snr_db, max_snr_db)
        check_at_least("max_layers", max_layers, 1)
        self.prob = prob
        self.snr_db = (min_snr_db, max_snr_db)
        self.max_layers = max_layers
        self.noises = (
            ColouredNoise(sample_rate)
            if folder is None or prob == 0  # switched off, its folder need not be there
            else SoundFolder(folder, sample_rate, instead=_INSTEAD, whole_files=whole_files)
        )

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        mix = waveform.copy()
        for _ in range(rng.integers(1, self.max_layers, endpoint=True)):
            noise = self.noises.draw(len(waveform), rng)
            mix += noise_at_snr(waveform, noise, rng.uniform(*self.snr_db))
        return below_full_scale(mix)


_INSTEAD = (
    "give a folder or list of noise recordings (MUSAN: openslr.org/17), "
    "`augmentation.waveform.noise.folder=null` for generated noise, or `augmentation=none`"
)
