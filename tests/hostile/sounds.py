"""Small sounds in every format that is read: what the campaigns mutate."""

import functools
import io
from typing import NamedTuple

import numpy as np
import soundfile

import containers
from speaker_id.contracts import FloatArray


class Original(NamedTuple):
    extension: str
    content: bytes


class _Kind(NamedTuple):
    extension: str
    container: str
    subtype: str
    sample_rate: int = 16_000
    num_channels: int = 1
    endian: str = "FILE"


_KINDS = (
    _Kind("wav", "WAV", "PCM_16"), _Kind("wav", "WAV", "PCM_16", 44_100, 2), _Kind("wav", "WAV", "PCM_24", 8000),
    _Kind("wav", "WAV", "FLOAT"), _Kind("wav", "WAV", "DOUBLE"), _Kind("wav", "WAV", "PCM_U8", 8000),
    _Kind("wav", "WAV", "ULAW", 8000), _Kind("wav", "WAV", "IMA_ADPCM"), _Kind("wav", "WAV", "MS_ADPCM"),
    _Kind("wav", "WAV", "GSM610", 8000), _Kind("wav", "WAV", "PCM_16", endian="BIG"),
    _Kind("wav", "WAVEX", "PCM_16", 48_000, 2), _Kind("wav", "RF64", "PCM_16"),
    _Kind("flac", "FLAC", "PCM_16"), _Kind("flac", "FLAC", "PCM_24", 48_000, 2),
    _Kind("ogg", "OGG", "VORBIS"), _Kind("ogg", "OGG", "VORBIS", 44_100, 2),
    _Kind("opus", "OGG", "OPUS"), _Kind("opus", "OGG", "OPUS", 48_000, 2),
    _Kind("mp3", "MP3", "MPEG_LAYER_III"), _Kind("mp3", "MP3", "MPEG_LAYER_III", 44_100, 2),
    _Kind("aiff", "AIFF", "PCM_16"), _Kind("aiff", "AIFF", "FLOAT", 44_100, 2), _Kind("aiff", "AIFF", "IMA_ADPCM"),
    _Kind("au", "AU", "PCM_16"), _Kind("au", "AU", "ULAW", 8000, 2),
    _Kind("caf", "CAF", "PCM_16"), _Kind("caf", "CAF", "ALAC_16"), _Kind("caf", "CAF", "FLOAT", 44_100, 2),
    _Kind("w64", "W64", "PCM_16"), _Kind("w64", "W64", "PCM_24", 48_000, 2),
)  # fmt: skip


@functools.cache
def originals() -> tuple[Original, ...]:
    """One file of each kind, all of them sound that is read."""
    by_libsndfile = (Original(kind.extension, _encoded(kind)) for kind in _KINDS)
    by_ffmpeg = (
        Original(name.partition(",")[0].split()[0], containers.encode(kind, tone(kind.rate)))
        for name, kind in containers.KINDS.items()
    )
    return (*by_libsndfile, *by_ffmpeg)


def tone(sample_rate: int, *, seconds: float = 0.8, pitch: float = 140.0) -> FloatArray:
    """(S,): a moving harmonic tone in syllables, which passes for speech."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * pitch * (time + 0.02 * np.sin(2 * np.pi * 3 * time))
    sound = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    return (0.2 * sound).astype(np.float32)


def flac(*, seconds: float = 0.8, pitch: float = 140.0) -> bytes:
    """A recording that every service takes."""
    file = io.BytesIO()
    soundfile.write(file, tone(16_000, seconds=seconds, pitch=pitch), 16_000, format="FLAC")
    return file.getvalue()


def _encoded(kind: _Kind) -> bytes:
    mono = tone(kind.sample_rate)
    sound = np.stack([mono / (channel + 1) for channel in range(kind.num_channels)], axis=1)
    file = io.BytesIO()
    soundfile.write(file, sound, kind.sample_rate, format=kind.container, subtype=kind.subtype, endian=kind.endian)
    return file.getvalue()
