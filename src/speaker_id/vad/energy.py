"""Where somebody speaks: voice activity from the energy of short frames, against the recording's own background.

It hears that something comes and goes as speech does, not that it is speech: music and slamming doors pass. What is
steady does not, be it noise or hum, and neither does a whistle that keeps its pitch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray, Stretches
from speaker_id.errors import ConfigError
from speaker_id.vad.stretches import of_frames, widened

FRAME_SECONDS, HOP_SECONDS = 0.025, 0.010
BAND = (100.0, 4000.0)  # Hz in which speech is looked for: above hum and rumble, and telephones have it too
DIGITAL_SILENCE_DB = -100.0  # dBFS in the band; the rounding of 16-bit samples lies about here
MIN_RISE_DB = 3.0  # of the loudest 0.15 s over the background; white, pink and brown noise rise by less
RANGE_DB = 35.0  # below the loudest 0.15 s nothing is speech: reverberation, breath
MAX_TONE_SHARE = 0.95  # of all energy within TONE_HZ of one frequency: a whistle, a beep
TONE_HZ = 95.0
_LOUDEST = 15  # frames: a click fills seven
_BLOCK = 4096  # frames analysed at once: memory does not grow with the recording
_VERSION = 1  # of what is found: raised when the same recording gives other frames


class Energy:
    """The SpeechDetector contract by `speech_frames`, without weights: about as fast as decoding.

    A pause shorter than `min_pause_seconds` counts as speech, and so do `pad_seconds` before and after: beginnings and
    ends of words are faint.
    """

    def __init__(self, *, min_pause_seconds: float, pad_seconds: float) -> None:
        if not (min_pause_seconds >= 0 and pad_seconds >= 0):
            raise ConfigError(f"vad: {min_pause_seconds=} and {pad_seconds=} must not be negative")
        self.min_pause_seconds = min_pause_seconds
        self.pad_seconds = pad_seconds

    @property
    def identity(self) -> str:
        return f"energy {_VERSION} pause {self.min_pause_seconds:g} pad {self.pad_seconds:g}"

    def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches:
        """(S,) -> where somebody speaks (n, 2)."""
        flags = speech_frames(frames_of(waveform, sample_rate))
        found = of_frames(flags, hop=round(HOP_SECONDS * sample_rate), size=round(FRAME_SECONDS * sample_rate))
        pad, min_pause = round(self.pad_seconds * sample_rate), round(self.min_pause_seconds * sample_rate)
        return widened(found, pad=pad, min_pause=min_pause, num_samples=len(waveform))


class Frames(NamedTuple):
    """A recording as (T,) frames, 0.025 s each, one every 0.01 s."""

    power: NDArray[np.float64]  # (T,) mean square in BAND; full scale is 1
    level_db: NDArray[np.float64]  # (T,) weighted by frequency, smoothed: only differences mean anything
    spectrum: NDArray[np.float64]  # (F,) mean power per bin of the frames with sound
    frequencies: NDArray[np.float64]  # (F,) Hz

    @property
    def has_sound(self) -> NDArray[np.bool_]:
        """(T,) frames that are no digital silence."""
        return self.power > 10 ** (DIGITAL_SILENCE_DB / 10)


def frames_of(waveform: FloatArray, sample_rate: int) -> Frames:
    """(S,) -> frames; T is 0 for less sound than one frame."""
    size = round(FRAME_SECONDS * sample_rate)
    n_fft = 1 << (size - 1).bit_length()
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float64)
    in_band = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    # Rising with frequency: rumble and wind are loud, flicker, and would hide the speech; squared, hiss would
    weights = np.where(in_band, frequencies / BAND[1], 0.0)
    powers, weighted, total = [np.zeros(0)], [np.zeros(0)], np.zeros(len(frequencies))
    count = 0
    for block in _spectra(waveform, size, round(HOP_SECONDS * sample_rate), n_fft):
        power = block @ in_band
        sounding = power > 10 ** (DIGITAL_SILENCE_DB / 10)
        powers.append(power)
        weighted.append(block @ weights)
        total += block[sounding].sum(axis=0)
        count += int(sounding.sum())
    level_db = 10 * np.log10(_smoothed(np.concatenate(weighted)) + 1e-16)
    return Frames(np.concatenate(powers), level_db, total / max(count, 1), frequencies)


def speech_frames(frames: Frames) -> NDArray[np.bool_]:
    """(T,) whether each frame is speech; gaps of up to 0.1 s inside a word count as speech."""
    has_sound = frames.has_sound
    # The silence that codecs and cutting leave is no background: beside it everything would rise
    levels = frames.level_db[has_sound]
    if len(levels) < _LOUDEST or tone_share(frames) > MAX_TONE_SHARE:
        return np.zeros(len(has_sound), bool)
    background = float(np.percentile(levels, 10))
    loudest = float(np.partition(levels, -_LOUDEST)[-_LOUDEST])
    rise = loudest - background
    if rise < MIN_RISE_DB:
        return np.zeros(len(has_sound), bool)
    threshold = max(background + max(3.0, 0.25 * rise), loudest - RANGE_DB)
    return _closed(has_sound & (frames.level_db >= threshold), width=5)


def tone_share(frames: Frames) -> float:
    """The share of the energy within TONE_HZ of the strongest frequency: 1 for a steady tone, far below for a voice."""
    audible = frames.frequencies >= BAND[0] - 20
    spectrum, frequencies = frames.spectrum[audible], frames.frequencies[audible]
    total = spectrum.sum()
    if total <= 0:
        return 0.0
    near = np.abs(frequencies - frequencies[spectrum.argmax()]) <= TONE_HZ
    return float(spectrum[near].sum() / total)


def _spectra(waveform: FloatArray, size: int, hop: int, n_fft: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of (T, F): power per bin, which adds up to the mean square of the frame."""
    if len(waveform) < size:
        return
    windows = np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]
    taper = np.hanning(size)
    scale = 2 / (n_fft * (taper**2).sum())
    for first in range(0, len(windows), _BLOCK):
        yield scale * np.abs(np.fft.rfft(windows[first : first + _BLOCK] * taper, n_fft)) ** 2


def _smoothed(power: NDArray[np.float64], width: int = 5) -> NDArray[np.float64]:
    """The mean over neighbouring frames, as many as there are at the ends: a noise of 0.05 s flickers less."""
    if not len(power):
        return power
    ones = np.ones(width)
    return np.convolve(power, ones)[2:-2] / np.convolve(np.ones(len(power)), ones)[2:-2]


def _closed(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Gaps of up to 2 * `width` frames between speech are filled; nothing is added at the ends."""
    padded = np.pad(mask, width)
    grown = np.convolve(padded, np.ones(2 * width + 1), "same") > 0.5
    kept = np.convolve(grown, np.ones(2 * width + 1), "same") > 2 * width + 0.5
    return mask | kept[width:-width]
