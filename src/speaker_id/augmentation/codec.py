"""What encoders leave of speech."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soundfile

from speaker_id import audio
from speaker_id.augmentation.band import BandLimit
from speaker_id.augmentation.checks import check_probability, check_range
from speaker_id.augmentation.mixing import below_full_scale
from speaker_id.augmentation.resample import of_length
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError

_LINE_RATE = 8000  # Hz
_LINE_BAND = (300.0, 3400.0)  # Hz, ITU-T G.712
_MP3_DELAY = 1105  # samples: 576 of LAME's encoder and 529 of every decoder
_MOST_COMPRESSION = 0.99  # libsndfile documents 1 for mp3, and refuses it


class _Codec(NamedTuple):
    format: str
    subtype: str
    telephone: bool  # a line of 8 kHz around it; the others know stronger and weaker compression


_CODECS = {
    "mulaw": _Codec("WAV", "ULAW", telephone=True),
    "alaw": _Codec("WAV", "ALAW", telephone=True),
    "gsm": _Codec("WAV", "GSM610", telephone=True),
    "mp3": _Codec("MP3", "MPEG_LAYER_III", telephone=False),
    "vorbis": _Codec("OGG", "VORBIS", telephone=False),
}


class Codec:
    """Encodes and decodes by one of `codecs`, length and place in time kept: (S,), rng -> (S,).

    The telephone's `mulaw`, `alaw` (G.711) and `gsm` (GSM 06.10) hear 300 to 3400 Hz at 8 kHz. `mp3` and `vorbis` work
    at the rate of the waveform; their compression is uniform in [`min_compression`, `max_compression`], where 0 is the
    best quality and 1 the smallest file. Raises ConfigError for a codec that the installed libsndfile or the sample
    rate does not allow.
    """

    def __init__(
        self, *, prob: float, codecs: Sequence[str], min_compression: float, max_compression: float, sample_rate: int
    ) -> None:
        check_probability(prob)
        check_range("compression", min_compression, max_compression, at_least=0, at_most=1)
        if not codecs or not set(codecs) <= set(_CODECS):
            raise ConfigError(f"codecs must be one or more of {', '.join(_CODECS)}, not {list(codecs)}")
        self.prob = prob
        self.codecs = tuple(codecs)
        self.compression = (min_compression, max_compression)
        self.sample_rate = sample_rate
        low, high = _LINE_BAND
        self.line = BandLimit(
            prob=1, min_low_hz=low, max_low_hz=low, min_high_hz=high, max_high_hz=high, sample_rate=_LINE_RATE
        )
        for name in self.codecs:
            self._check(name)

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        if rng.random() >= self.prob or not waveform.any():
            return waveform
        codec = _CODECS[self.codecs[rng.integers(len(self.codecs))]]
        if codec.telephone:
            line = self.line(audio.resample(waveform, self.sample_rate, _LINE_RATE), rng)
            decoded = audio.resample(encode_and_decode(line, _LINE_RATE, codec), _LINE_RATE, self.sample_rate)
        else:
            decoded = encode_and_decode(waveform, self.sample_rate, codec, rng.uniform(*self.compression))
        return below_full_scale(of_length(decoded, len(waveform)))

    def _check(self, name: str) -> None:
        codec = _CODECS[name]
        if codec.telephone and self.sample_rate < _LINE_RATE:
            raise ConfigError(f"codec {name} needs at least {_LINE_RATE} Hz, not {self.sample_rate}")
        try:
            encode_and_decode(np.zeros(1, np.float32), _LINE_RATE if codec.telephone else self.sample_rate, codec)
        except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: a format this libsndfile does not know
            raise ConfigError(
                f"codec {name} does not work at {self.sample_rate} Hz ({error}); leave it out of codecs, "
                "or install a newer soundfile"
            ) from error


def encode_and_decode(
    waveform: FloatArray,
    sample_rate: int,
    codec: _Codec,
    compression: float | None = None,
    *,
    bitrate_mode: str | None = None,
) -> FloatArray:
    """(S,) -> (S,) through a file in memory; what the encoder put before and behind is taken away again."""
    file = io.BytesIO()
    soundfile.write(
        file,
        waveform,
        sample_rate,
        format=codec.format,
        subtype=codec.subtype,
        compression_level=None if compression is None else min(compression, _MOST_COMPRESSION),
        bitrate_mode=bitrate_mode,
    )
    file.seek(0)
    decoded: FloatArray = soundfile.read(file, dtype="float32")[0]
    # An mp3 with room for LAME's tag says where the sound begins, and libsndfile obeys; at low rates there is no room.
    if codec.format == "MP3" and len(decoded) > len(waveform):
        decoded = decoded[_MP3_DELAY:]
    return of_length(decoded, len(waveform))
