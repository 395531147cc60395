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
_MOST_COMPRESSION = 0.99  # of mp3: libsndfile documents 1, and refuses it
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz, RFC 6716
_OPUS_KBIT = (6.0, 256.0)  # kbit/s at compression 1 and 0


class _Codec(NamedTuple):
    format: str
    subtype: str
    telephone: bool  # a line of 8 kHz around it; the others know stronger and weaker compression
    rates: tuple[int, ...] = ()  # Hz that it can encode; none named: any


_CODECS = {
    "mulaw": _Codec("WAV", "ULAW", telephone=True, rates=(_LINE_RATE,)),
    "alaw": _Codec("WAV", "ALAW", telephone=True, rates=(_LINE_RATE,)),
    "gsm": _Codec("WAV", "GSM610", telephone=True, rates=(_LINE_RATE,)),
    "mp3": _Codec("MP3", "MPEG_LAYER_III", telephone=False),
    "vorbis": _Codec("OGG", "VORBIS", telephone=False),
    "opus": _Codec("OGG", "OPUS", telephone=False, rates=_OPUS_RATES),
}


class Codec:
    """Encodes and decodes by one of `codecs`, length and place in time kept: (S,), rng -> (S,).

    The telephone's `mulaw`, `alaw` (G.711) and `gsm` (GSM 06.10) hear 300 to 3400 Hz at 8 kHz. `mp3`, `vorbis` and
    `opus` work at the rate of the waveform (opus at the next of its own); their compression is uniform in
    [`min_compression`, `max_compression`], where 0 is the best quality and 1 the smallest file. Raises ConfigError for
    a codec that the installed libsndfile or the sample rate does not allow.
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
        rate = _coding_rate(codec, self.sample_rate)
        coded = audio.resample(waveform, self.sample_rate, rate)
        if codec.telephone:
            coded = encode_and_decode(self.line(coded, rng), rate, codec)
        else:
            coded = encode_and_decode(coded, rate, codec, rng.uniform(*self.compression))
        return below_full_scale(of_length(audio.resample(coded, rate, self.sample_rate), len(waveform)))

    def _check(self, name: str) -> None:
        codec = _CODECS[name]
        if codec.telephone and self.sample_rate < _LINE_RATE:
            raise ConfigError(f"codec {name} needs at least {_LINE_RATE} Hz, not {self.sample_rate}")
        try:
            encode_and_decode(np.zeros(1, np.float32), _coding_rate(codec, self.sample_rate), codec)
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
        compression_level=min(compression, _MOST_COMPRESSION) if codec.format == "MP3" and compression else compression,
        bitrate_mode=bitrate_mode,
    )
    file.seek(0)
    decoded: FloatArray = soundfile.read(file, dtype="float32")[0]
    # An mp3 with room for LAME's tag says where the sound begins, and libsndfile obeys; at low rates there is no room.
    if codec.format == "MP3" and len(decoded) > len(waveform):
        decoded = decoded[_MP3_DELAY:]
    return of_length(decoded, len(waveform))


def at_bitrate(waveform: FloatArray, sample_rate: int, name: str, kbit: float) -> FloatArray:
    """(S,) -> (S,): through `mp3` (constant) or `opus` (variable) of `kbit` kbit/s, length and place in time kept.

    mp3 takes the nearest rate that it has: 8 to 160 kbit/s at 16 kHz. Raises ConfigError for another codec, and beyond
    what the codec can do at this sample rate.
    """
    if name not in ("mp3", "opus"):
        raise ConfigError(f"only mp3 and opus go by kbit/s, not {name!r}")
    least, most = _OPUS_KBIT if name == "opus" else _mp3_range(sample_rate)
    if not least <= kbit <= most:
        raise ConfigError(f"{name} at {sample_rate} Hz takes {least:g} to {most:g} kbit/s, not {kbit:g}")
    codec = _CODECS[name]
    rate = _coding_rate(codec, sample_rate)
    mode = "CONSTANT" if name == "mp3" else None  # opus knows none, and keeps to its rate
    compression = (most - kbit) / (most - least)
    coded = encode_and_decode(audio.resample(waveform, sample_rate, rate), rate, codec, compression, bitrate_mode=mode)
    return below_full_scale(of_length(audio.resample(coded, rate, sample_rate), len(waveform)))


def _mp3_range(sample_rate: int) -> tuple[float, float]:
    """kbit/s that MPEG 2.5, 2 and 1 have for such sample rates."""
    return (8.0, 64.0) if sample_rate < 16000 else (8.0, 160.0) if sample_rate < 32000 else (32.0, 320.0)


def _coding_rate(codec: _Codec, sample_rate: int) -> int:
    """The sample rate in Hz at which a codec encodes: the lowest of its own that keeps all there is."""
    return min((rate for rate in codec.rates if rate >= sample_rate), default=max(codec.rates, default=sample_rate))
