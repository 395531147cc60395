"""What a recording must have before it is worth embedding, and what is the matter with it."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from speaker_id import audio
from speaker_id.contracts import FloatArray, SpeechDetector
from speaker_id.errors import AudioError, ConfigError, NoSpeech, TooShort
from speaker_id.vad.energy import FRAME_SECONDS, HOP_SECONDS, Frames, frames_of, speech_frames
from speaker_id.vad.stretches import to_frames, total

MIN_SECONDS = 0.5  # below, an embedding says more about the word than about the voice
SILENT_DB = -120.0  # dBFS, in place of minus infinity

_FEW_SECONDS = 2.0  # of speech: below, say so
_QUIET_DB = -45.0
_NOISY_DB = 10.0
_CLIPPED = 0.001
_TELEPHONE_HZ = 4200.0
_BAND_EDGE_DB = 65.0  # below the strongest bin there is nothing but rounding and what a resampler leaves


SecondVoice = Literal["ignore", "remark", "refuse"]


@dataclass(frozen=True)
class QualityLimits:
    """What is refused. The defaults refuse only what is useless: stricter ones are for enrolment desks.

    A second voice is looked for by whoever has a model: the Recognizer and the service. Enrolling always remarks it.
    """

    detector: str = "energy"  # a leaf of conf/vad: what counts as speech; silero (extra `vad`) tells it from noise
    min_seconds: float = MIN_SECONDS
    min_speech_seconds: float = 0.1  # of speech without the pauses
    min_snr_db: float | None = None
    max_clipped: float | None = None  # share of the samples, 0 ... 1
    min_band_hz: float | None = None  # 5000.0 refuses telephone sound
    second_voice: SecondVoice = "ignore"  # remark | refuse: embeds the windows of each recording too


@dataclass(frozen=True)
class Quality:
    """A recording in numbers. Levels are in dBFS: a sine that fills the range has -3."""

    seconds: float
    speech_seconds: float  # without the pauses
    level_db: float  # of the speech; of everything where there is none
    peak: float  # largest magnitude of a sample; full scale is 1
    clipped: float  # share of the samples that lie at the end of the range, 0 ... 1
    snr_db: float | None  # speech over what is heard in its pauses, 100 ... 4000 Hz; None without pauses
    band_hz: float  # above it there is no sound: about 4000 from a telephone
    remarks: tuple[str, ...]  # in words: what makes it a poor recording


def measure(waveform: FloatArray, sample_rate: int, *, detector: str = "energy") -> Quality:
    """(S,) in [-1, 1] -> its quality; any length, silence too. Raises ConfigError for a detector that is not there."""
    frames = frames_of(waveform, sample_rate)
    seconds = len(waveform) / sample_rate
    if detector == "energy":  # its frames as they are, without what conf/vad keeps around them
        speech = speech_frames(frames)
        speech_seconds = min(float(speech.sum()) * HOP_SECONDS, seconds)
    else:
        stretches = _detector(detector)(waveform, sample_rate)
        hop, size = round(HOP_SECONDS * sample_rate), round(FRAME_SECONDS * sample_rate)
        speech = to_frames(stretches, len(frames.power), hop=hop, size=size)
        speech_seconds = total(stretches) / sample_rate
    level_db = _level_db(waveform, sample_rate, speech)
    clipped, snr_db, band_hz = _clipped(waveform), _snr_db(frames, speech), _band_hz(frames)
    return Quality(
        seconds=seconds,
        speech_seconds=speech_seconds,
        level_db=level_db,
        peak=float(np.abs(waveform).max(initial=0.0)),
        clipped=clipped,
        snr_db=snr_db,
        band_hz=band_hz,
        remarks=tuple(_remarks(speech_seconds, level_db, clipped, snr_db, band_hz, sample_rate)),
    )


def check_recording(
    waveform: FloatArray, sample_rate: int, *, name: str, limits: QualityLimits | None = None
) -> Quality:
    """The quality of (S,), if it keeps the limits.

    Otherwise raises TooShort or NoSpeech, or AudioError for noise, clipping and band, naming the recording.
    """
    limits = limits or QualityLimits()
    check_usable(waveform, sample_rate, name=name, min_seconds=limits.min_seconds)
    quality = measure(waveform, sample_rate, detector=limits.detector)
    _check_speech(quality, limits, name)
    if limits.min_snr_db is not None and quality.snr_db is not None and quality.snr_db < limits.min_snr_db:
        raise AudioError(
            f"{name} is too noisy: the speech is {quality.snr_db:.1f} dB over the background, at least "
            f"{limits.min_snr_db:g} dB are needed: record closer to the microphone or in a quieter place"
        )
    if limits.max_clipped is not None and quality.clipped > limits.max_clipped:
        raise AudioError(
            f"{name} is clipped: {quality.clipped:.2%} of its samples are at the end of the range, at most "
            f"{limits.max_clipped:.2%} are allowed: turn the input level down and record again"
        )
    if limits.min_band_hz is not None and quality.band_hz < limits.min_band_hz:
        raise AudioError(
            f"{name} holds no sound above {quality.band_hz:.0f} Hz, up to {limits.min_band_hz:.0f} Hz are needed: "
            "record with a microphone, not through a telephone"
        )
    return quality


def prepare(limits: QualityLimits) -> None:
    """Load what `check_recording` will need, so that the first recording need not wait. Raises ConfigError."""
    measure(np.zeros(16000, np.float32), 16000, detector=limits.detector)


def check_usable(waveform: FloatArray, sample_rate: int, *, name: str, min_seconds: float = MIN_SECONDS) -> None:
    """Raise TooShort or NoSpeech, naming the recording, unless (S,) is long enough and not silent."""
    seconds = len(waveform) / sample_rate
    if seconds < min_seconds:
        raise TooShort(f"{name} is {seconds:.3f} s long, at least {min_seconds} s are needed: record more speech")
    if audio.is_silent(waveform):
        raise NoSpeech(f"{name} is silent: check the microphone and record again")


def _check_speech(quality: Quality, limits: QualityLimits, name: str) -> None:
    if quality.speech_seconds >= limits.min_speech_seconds:
        return
    if quality.speech_seconds == 0:
        kind = "steady sound" if limits.detector == "energy" else "sound without a voice"
        raise NoSpeech(
            f"{name} holds no speech: {quality.seconds:.2f} s of {kind} at {quality.level_db:.0f} dBFS, like "
            "noise or a tone: check the microphone and record again"
        )
    raise TooShort(
        f"{name} holds {quality.speech_seconds:.2f} s of speech in {quality.seconds:.2f} s, at least "
        f"{limits.min_speech_seconds:g} s are needed: record more speech"
    )


@cache
def _detector(name: str) -> SpeechDetector:
    from speaker_id import build  # which brings torch: not everybody who measures needs it

    detector = build.speech_detector(name)
    if detector is None:
        raise ConfigError(f"detector={name} finds no speech: take energy, or silero (extra `vad`)")
    return detector


def _level_db(waveform: FloatArray, sample_rate: int, speech: np.ndarray) -> float:
    """The root mean square of the frames with speech, in dBFS."""
    hop = round(HOP_SECONDS * sample_rate)
    chosen = np.repeat(speech, hop)[: len(waveform)]
    part = waveform[: len(chosen)][chosen] if chosen.any() else waveform
    power = float(np.mean(np.square(part, dtype=np.float64))) if len(part) else 0.0
    return max(SILENT_DB, 10 * float(np.log10(power + 1e-30)))


def _clipped(waveform: FloatArray) -> float:
    """Samples at full scale, or flat at the recording's own peak: a clipped recording may have been turned down."""
    magnitude = np.abs(waveform)
    peak = float(magnitude.max(initial=0.0))
    if peak < 0.1:  # there the peak is a few steps of the converter, and neighbours are equal by themselves
        return 0.0
    at_peak = magnitude >= 0.9999 * peak  # a 100 Hz sine stays as near its top for less than one sample
    flat = at_peak.copy()
    flat[1:] &= at_peak[:-1]
    flat[:-1] |= flat[1:]
    return float((flat | (magnitude >= 0.999)).mean())


def _snr_db(frames: Frames, speech: np.ndarray) -> float | None:
    pauses = frames.has_sound & ~speech
    if not speech.any() or pauses.sum() < 10:
        return None
    noise = float(frames.power[pauses].mean())
    return 10 * float(np.log10(max(float(frames.power[speech].mean()) - noise, 1e-3 * noise) / noise))


def _band_hz(frames: Frames) -> float:
    audible = np.flatnonzero(frames.spectrum > frames.spectrum.max(initial=0.0) * 10 ** (-_BAND_EDGE_DB / 10))
    return float(frames.frequencies[audible[-1]]) if len(audible) else 0.0


def _remarks(
    speech_seconds: float, level_db: float, clipped: float, snr_db: float | None, band_hz: float, sample_rate: int
) -> list[str]:
    if speech_seconds == 0:
        return ["no speech found"]
    found = []
    if speech_seconds < _FEW_SECONDS:
        found.append(f"little speech: {speech_seconds:.1f} s without the pauses")
    if level_db < _QUIET_DB:
        found.append(f"quiet: {level_db:.0f} dBFS")
    if clipped > _CLIPPED:
        found.append(f"clipped: {clipped:.1%} of the samples")
    if snr_db is not None and snr_db < _NOISY_DB:
        found.append(f"noisy: the speech is {snr_db:.0f} dB over the background")
    if band_hz < _TELEPHONE_HZ < 0.45 * sample_rate:
        found.append(f"narrow band, like a telephone: nothing above {band_hz / 1000:.1f} kHz")
    return found
