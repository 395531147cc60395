"""Other rates and codecs: what they take away is gone, and nothing comes late."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from speaker_id.augmentation import codec as codec_module
from speaker_id.augmentation.codec import Codec, at_bitrate, encode_and_decode
from speaker_id.augmentation.resample import Resample, of_length
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError

RATE = 16000
TELEPHONE = ["mulaw", "alaw", "gsm"]
CODECS: dict[str, Any] = vars(codec_module)["_CODECS"]


def white(num: int = RATE) -> FloatArray:
    return (0.1 * np.random.default_rng(1).standard_normal(num)).astype(np.float32)


def tone(hz: float, amplitude: float, rate: int = RATE) -> FloatArray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(rate) / rate)).astype(np.float32)


def gain_db(before: FloatArray, after: FloatArray, low_hz: float, high_hz: float) -> float:
    frequencies = np.fft.rfftfreq(len(before), 1 / RATE)
    band = (frequencies >= low_hz) & (frequencies < high_hz)
    window = np.hanning(len(before))  # the ends do not meet
    energy = [np.sum(np.abs(np.fft.rfft(window * x))[band] ** 2) for x in (before, after)]
    return float(10 * np.log10(energy[1] / energy[0]))


def quality_db(clean: FloatArray, coded: FloatArray) -> float:
    """Signal to coding noise."""
    clean = clean.astype(np.float64)
    return float(10 * np.log10(np.sum(clean**2) / np.sum((coded - clean) ** 2)))


def lag(clean: FloatArray, coded: FloatArray) -> int:
    """Samples that `coded` comes late, by cross-correlation."""
    num = 2 * len(clean)
    correlation = np.fft.irfft(np.fft.rfft(coded, num) * np.conj(np.fft.rfft(clean, num)), num)
    peak = int(correlation.argmax())
    return peak if peak < len(clean) else peak - num


def codec(*names: str, compression: float = 0.5, rate: int = RATE) -> Codec:
    return Codec(prob=1, codecs=names, min_compression=compression, max_compression=compression, sample_rate=rate)


def resample(*rates: int) -> Resample:
    return Resample(prob=1, rates=rates, sample_rate=RATE)


def test_a_way_over_8_khz_leaves_nothing_above_4() -> None:
    out = resample(8000)(white(), np.random.default_rng(0))
    assert gain_db(white(), out, 4100, 8000) < -90
    assert gain_db(white(), out, 50, 3500) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("rate", [32000, 44100, 48000])
def test_a_way_over_a_higher_rate_keeps_speech(rate: int) -> None:
    out = resample(rate)(white(), np.random.default_rng(0))
    assert gain_db(white(), out, 50, 7000) == pytest.approx(0, abs=0.01)
    inner = slice(500, -500)
    smooth = np.convolve(white(), np.ones(8) / 8, "same").astype(np.float32)  # the filter begins below 8 kHz
    assert quality_db(smooth[inner], resample(rate)(smooth, np.random.default_rng(0))[inner]) > 25


@pytest.mark.parametrize("rate", [8000, 32000, 44100, 48000])
def test_no_rate_delays(rate: int) -> None:
    assert lag(white(), resample(rate)(white(), np.random.default_rng(0))) == 0


def test_every_rate_is_drawn() -> None:
    outputs = [resample(8000, 12000)(white(4000), np.random.default_rng(seed)) for seed in range(10)]
    assert {gain_db(white(4000), out, 4500, 5500) < -30 for out in outputs} == {True, False}


def test_a_length_is_met_by_cutting_or_by_silence() -> None:
    assert of_length(np.arange(3, dtype=np.float32), 2).tolist() == [0, 1]
    assert of_length(np.ones(2, np.float32), 4).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("name", TELEPHONE)
def test_a_telephone_hears_300_to_3400_hz(name: str) -> None:
    out = codec(name)(white(), np.random.default_rng(0))
    assert gain_db(white(), out, 4200, 8000) < -90
    assert gain_db(white(), out, 20, 120) < (-8 if name == "gsm" else -30)  # coding noise is all that is there
    assert gain_db(white(), out, 700, 2000) == pytest.approx(0, abs=1.5 if name == "gsm" else 0.1)
    if name != "gsm":  # whose noise fills the edge
        assert gain_db(white(), out, 3390, 3410) == pytest.approx(-3, abs=0.7)


@pytest.mark.parametrize("amplitude", [0.5, 0.02])
@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_companding_gives_loud_and_quiet_the_same_quality(name: str, amplitude: float) -> None:
    clean = tone(1013, amplitude, 8000)
    assert 32 < quality_db(clean, encode_and_decode(clean, 8000, CODECS[name])) < 41  # 8 linear bits: 44 and 16 dB


def test_gsm_spends_13_kbit_a_second_and_sounds_like_it() -> None:
    clean = (0.2 * np.convolve(white(8000), np.ones(8), "same")).astype(np.float32)
    assert 3 < quality_db(clean, encode_and_decode(clean, 8000, CODECS["gsm"])) < 20


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("name", CODECS)
def test_no_codec_delays(name: str, rate: int) -> None:
    coded = codec(name, rate=rate)(white(), np.random.default_rng(0))
    assert abs(lag(white(), coded)) <= 1


@pytest.mark.parametrize("num", [500, 16000])
def test_an_mp3_without_room_for_its_tag_is_put_in_place_too(num: int) -> None:
    smooth = np.convolve(white(num), np.ones(8) / 3, "same").astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, smooth, RATE, format="MP3", compression_level=0.9, bitrate_mode="CONSTANT")
    file.seek(0)
    assert soundfile.info(file).frames > num  # what the encoder added is still there: this is such a file
    coded = encode_and_decode(smooth, RATE, CODECS["mp3"], 0.9, bitrate_mode="CONSTANT")
    assert len(coded) == num
    assert abs(lag(smooth, coded)) <= 1


@pytest.mark.parametrize(
    ("name", "levels"), [("mp3", (0.0, 0.5, 1.0)), ("vorbis", (0.0, 0.5, 1.0)), ("opus", (0.5, 0.9, 1.0))]
)
def test_more_compression_is_less_quality(name: str, levels: tuple[float, ...]) -> None:
    outputs = [codec(name, compression=level)(white(), np.random.default_rng(0)) for level in levels]
    best, middle, worst = (quality_db(white(), out) for out in outputs)
    assert best > middle + 0.5 > worst + 1


def test_every_codec_is_drawn() -> None:
    drawn = [codec("mulaw", "vorbis", "alaw")(white(2000), np.random.default_rng(seed)) for seed in range(12)]
    assert len({out.tobytes() for out in drawn}) == 3


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_opus_takes_every_rate_by_way_of_the_next_of_its_own(rate: int) -> None:
    times = np.arange(rate) / rate
    speech = (0.3 * np.sin(2 * np.pi * (400 + 300 * times) * times)).astype(np.float32)  # a chirp shows any delay
    coded = codec("opus", compression=0.5, rate=rate)(speech, np.random.default_rng(0))
    inner = slice(rate // 10, -rate // 10)
    assert len(coded) == rate
    assert quality_db(speech[inner], coded[inner]) > 25


@pytest.mark.parametrize(
    ("name", "rate", "kbits"),
    [("mp3", 8000, (8, 64)), ("mp3", 16000, (8, 24, 160)), ("mp3", 44100, (32, 64, 320)), ("opus", 16000, (8, 16, 64)),
     ("opus", 44100, (16, 64))],
)  # fmt: skip
def test_a_bitrate_is_what_a_second_costs(
    name: str, rate: int, kbits: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = soundfile.write

    def weighed(file: io.BytesIO, *args: Any, **options: Any) -> None:
        write(file, *args, **options)
        sizes.append(len(file.getvalue()))

    monkeypatch.setattr(soundfile, "write", weighed)
    smooth = np.convolve(white(8 * rate), np.ones(8) / 3, "same").astype(np.float32)
    qualities = []
    for kbit in kbits:
        coded = at_bitrate(smooth, rate, name, kbit)
        assert len(coded) == len(smooth)
        assert abs(lag(smooth, coded)) <= max(1, rate // 20_000)  # 0.05 ms
        assert sizes[-1] / 1000 == pytest.approx(kbit, rel=0.15)  # 8 bits a byte, 8 seconds
        qualities.append(quality_db(smooth, coded))
    assert qualities == sorted(qualities)


@pytest.mark.parametrize(
    ("name", "rate", "kbit", "message"),
    [
        ("mp3", 16000, 7.9, "mp3 at 16000 Hz takes 8 to 160 kbit/s, not 7.9"),
        ("mp3", 44100, 24, "mp3 at 44100 Hz takes 32 to 320"),
        ("opus", 16000, 300, "opus at 16000 Hz takes 6 to 256"),
        ("opus", 16000, float("nan"), "not nan"),
        ("gsm", 8000, 13, "only mp3 and opus go by kbit/s, not 'gsm'"),
    ],
)
def test_a_bitrate_that_a_codec_does_not_have_is_refused(name: str, rate: int, kbit: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        at_bitrate(white(), rate, name, kbit)
