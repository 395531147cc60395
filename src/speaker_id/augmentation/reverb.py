"""Rooms."""

import os

import numpy as np
from scipy.signal import fftconvolve

from speaker_id.augmentation.checks import check_at_least, check_probability, check_range
from speaker_id.augmentation.mixing import below_full_scale, power, with_power
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray

_LONGEST = 0.6  # seconds of a response that are used: its cost, and by then a room of RT60 0.6 s is silent
_EARLY = 0.05  # seconds in which echoes arrive one by one
_ECHO_RATE = 240  # early echoes a second, 12 of them


class Reverb:
    """Convolves with the response of a room: (S,), rng -> (S,), the direct sound in its place, the energy kept.

    Responses are the audio files of `folder` (or of a list), or simulated (`simulate_response`) when it is None, with
    RT60 uniform in [`min_rt60`, `max_rt60`] seconds and the direct-to-reverberant ratio uniform in [`min_drr_db`,
    `max_drr_db`]; a measured response has its own. An output that would pass full scale is scaled down.
    """

    def __init__(
        self,
        *,
        prob: float,
        min_rt60: float,
        max_rt60: float,
        min_drr_db: float,
        max_drr_db: float,
        sample_rate: int,
        folder: str | os.PathLike[str] | None,
    ) -> None:
        check_probability(prob)
        check_range("rt60", min_rt60, max_rt60, at_least=0.05, at_most=10.0)
        check_range("drr_db", min_drr_db, max_drr_db)
        check_at_least("sample_rate", sample_rate, 1)
        self.prob = prob
        self.rt60 = (min_rt60, max_rt60)
        self.drr_db = (min_drr_db, max_drr_db)
        self.sample_rate = sample_rate
        self.responses = (
            None
            if folder is None or prob == 0  # switched off, its folder need not be there
            else SoundFolder(folder, sample_rate, instead=_INSTEAD)
        )

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        echoed: FloatArray = fftconvolve(waveform, self._response(rng))[: len(waveform)]
        return below_full_scale(with_power(echoed, power(waveform)))

    def _response(self, rng: np.random.Generator) -> FloatArray:
        if self.responses is None:
            return simulate_response(rng.uniform(*self.rt60), rng.uniform(*self.drr_db), self.sample_rate, rng)
        response = self.responses.draw_whole(rng)
        direct = int(np.abs(response).argmax())
        return response[direct:][: int(_LONGEST * self.sample_rate)]


def simulate_response(rt60: float, drr_db: float, sample_rate: int, rng: np.random.Generator) -> FloatArray:
    """(S,), a unit impulse followed by Gaussian noise that decays by 60 dB in `rt60` seconds (Polack 1988).

    In its first 50 ms the noise is thinned to single echoes of the same mean energy. The direct sound stands `drr_db`
    over all that follows. At most 0.6 s long.
    """
    num = max(2, int(min(rt60, _LONGEST) * sample_rate))
    response = rng.standard_normal(num, dtype=np.float32)
    early, kept = int(_EARLY * sample_rate), _ECHO_RATE / sample_rate
    response[:early] *= (rng.random(min(early, num)) < kept) / np.sqrt(np.float32(kept))
    response *= np.power(np.float32(10), np.arange(num, dtype=np.float32) * np.float32(-3 / (rt60 * sample_rate)))
    response[0] = 0
    response = with_power(response, 10 ** (-drr_db / 10) / num)
    response[0] = 1
    return response


_INSTEAD = (
    "give a folder or list of room responses (RIRS_NOISES: openslr.org/28), "
    "`augmentation.waveform.reverb.folder=null` for simulated rooms, or `augmentation=none`"
)
