from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from inference.tiny_model import RATE, voice
from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, ConfigError, NoSpeech, TooShort
from speaker_id.inference.quality import QualityLimits, _snr_db, check_recording, check_usable, measure, prepare
from speaker_id.vad.energy import Frames, frames_of, speech_frames

TIME = np.arange(3 * RATE) / RATE


def noise(seconds: float, tilt: float = 0.0, level: float = 0.1, seed: int = 0) -> FloatArray:
    """Of power 1 / f^tilt: white 0, pink 1, brown 2; `level` is the root mean square."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=round(seconds * RATE)))
    spectrum[0] = 0
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (tilt / 2)
    waveform = np.fft.irfft(spectrum, round(seconds * RATE))
    return (waveform * level / waveform.std()).astype(np.float32)


def words(num: int, *, background: float = 0.0) -> FloatArray:
    """Words of 0.6 s in pauses of 0.4 s: `num` seconds in all."""
    word = np.concatenate([np.zeros(round(0.2 * RATE)), voice(130, 0.6), np.zeros(round(0.2 * RATE))])
    return (np.tile(word, num) + noise(num, level=background)).astype(np.float32)


# What counts as speech


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("pitch", [60, 90, 130, 260, 400])
def test_a_moving_voice_is_speech_from_half_a_second_on(pitch: float, seconds: float) -> None:
    quality = check_recording(voice(pitch, seconds), RATE, name="x")
    assert 0.7 * seconds <= quality.speech_seconds <= seconds


@pytest.mark.parametrize("seconds", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("tilt", [0.0, 1.0, 2.0])
def test_steady_noise_is_no_speech_whatever_its_colour(tilt: float, seconds: float) -> None:
    with pytest.raises(NoSpeech, match=rf"x holds no speech: {seconds:.2f} s of steady sound at -20 dBFS"):
        check_recording(noise(seconds, tilt), RATE, name="x")


@pytest.mark.parametrize(
    "tone",
    [
        0.3 * np.sin(2 * np.pi * 440 * TIME),
        0.3 * np.sin(2 * np.pi * 1000 * TIME) * (np.sin(2 * np.pi * 2 * TIME) > 0) + noise(3.0, level=0.001),  # beeps
        0.1 * sum(np.sin(2 * np.pi * 50 * k * TIME) / k for k in range(1, 30)),  # hum of the mains
        np.full(3 * RATE, 0.5),  # an offset
    ],
    ids=["tone", "beeps", "hum", "offset"],
)
def test_tones_hum_and_offsets_are_no_speech(tone: FloatArray) -> None:
    with pytest.raises(NoSpeech, match="no speech"):
        check_recording(tone.astype(np.float32), RATE, name="x")


def test_speech_is_counted_without_its_pauses() -> None:
    assert measure(words(5), RATE).speech_seconds == pytest.approx(5 * 0.6, abs=0.2)
    assert measure(words(5, background=0.005), RATE).speech_seconds == pytest.approx(5 * 0.6, abs=0.3)


def test_one_word_in_a_minute_of_room_noise_is_found() -> None:
    waveform = noise(60, 1.0, level=0.005)
    waveform[30 * RATE : 30 * RATE + 8000] += voice(130, 0.5)
    speech = speech_frames(frames_of(waveform, RATE))
    where = np.flatnonzero(speech)
    assert (where[0], where[-1]) == (pytest.approx(3000, abs=6), pytest.approx(3050, abs=6))


def test_digital_silence_makes_noise_no_speech() -> None:
    """What codecs and cutting leave is no background that the noise would rise over."""
    cut = np.where(np.sin(2 * np.pi * TIME) > 0, noise(3.0), 0).astype(np.float32)
    assert measure(cut, RATE).speech_seconds == 0


def test_a_click_is_no_speech() -> None:
    waveform = noise(2.0, level=0.001)
    waveform[RATE : RATE + 80] = 0.9
    assert measure(waveform, RATE).speech_seconds == 0


@given(gain=st.sampled_from([0.02, 0.1, 0.5, 2.0]), background=st.sampled_from([0.001, 0.01, 0.03]))
def test_how_loud_it_was_recorded_changes_only_the_levels(gain: float, background: float) -> None:
    waveform = words(3, background=background)
    one, other = measure(waveform, RATE), measure((waveform * gain).astype(np.float32), RATE)
    assert one.speech_seconds == other.speech_seconds
    assert other.snr_db == pytest.approx(one.snr_db, abs=0.01)
    assert other.level_db - one.level_db == pytest.approx(20 * np.log10(gain), abs=0.01)


def test_blocks_of_analysis_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = words(3, background=0.01)
    whole = frames_of(waveform, RATE)
    monkeypatch.setattr("speaker_id.vad.energy._BLOCK", 7)
    for a, b in zip(whole, frames_of(waveform, RATE), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


# Numbers


def test_power_in_the_band_is_the_mean_square() -> None:
    frames = frames_of((0.5 * np.sin(2 * np.pi * 1000 * TIME)).astype(np.float32), RATE)
    assert len(frames.power) == 298  # (48000 - 400) // 160 + 1
    np.testing.assert_allclose(frames.power, 0.125, rtol=1e-3)


def test_a_full_sine_has_minus_three_dbfs() -> None:
    assert measure(np.sin(2 * np.pi * 440 * TIME).astype(np.float32), RATE).level_db == pytest.approx(-3.01, abs=0.01)
    assert measure(np.zeros(RATE, np.float32), RATE).level_db == -120


@pytest.mark.parametrize("snr_db", [30.0, 20.0, 10.0])
def test_the_snr_of_speech_in_white_noise_is_estimated_to_three_decibels(snr_db: float) -> None:
    """In the band of 100 to 4000 Hz, which holds 39/80 of the noise's power."""
    word = voice(130, 0.6)
    background = np.sqrt(np.mean(np.square(word)) / 10 ** (snr_db / 10) * 80 / 39)
    assert measure(words(5, background=background), RATE).snr_db == pytest.approx(snr_db, abs=3)


def test_the_noise_under_the_speech_is_taken_off_it() -> None:
    """Speech with noise has three times the power of the noise: 2 to 1, 3.01 dB."""
    speech = np.arange(40) < 20
    frames = Frames(np.where(speech, 3e-3, 1e-3), np.zeros(40), np.zeros(1), np.zeros(1))
    assert _snr_db(frames, speech) == pytest.approx(3.0103, abs=1e-4)


def test_without_pauses_there_is_no_snr() -> None:
    assert measure(voice(130, 1.0)[:4000], RATE).snr_db is None


def test_clipped_samples_are_counted_even_after_turning_down() -> None:
    """A sine cut at half its height is flat for two thirds of the time: asin(1/2) is 30 of 90 degrees."""
    cut = np.clip(2 * np.sin(2 * np.pi * 100 * TIME), -1, 1).astype(np.float32)
    for gain in (1.0, 0.4):
        assert measure(gain * cut, RATE).clipped == pytest.approx(2 / 3, abs=0.02)
    assert measure(0.9 * np.sin(2 * np.pi * 100 * TIME).astype(np.float32), RATE).clipped == 0
    assert measure(voice(90), RATE).clipped == 0


@pytest.mark.parametrize("edge", [2000, 4000, 6000])
def test_the_band_ends_where_the_sound_does(edge: float) -> None:
    filtered = sosfilt(butter(20, edge, fs=RATE, output="sos"), words(2, background=0.01)).astype(np.float32)
    assert measure(filtered, RATE).band_hz == pytest.approx(edge, rel=0.35)
    assert measure(filtered, RATE).band_hz >= edge - 50


@pytest.mark.parametrize("num", [0, 1, 100, 399, 400, 401, 2000])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_any_length_and_rate_can_be_measured(num: int, rate: int) -> None:
    quality = measure(np.ones(num, np.float32), rate)
    assert (quality.seconds, quality.speech_seconds) == (num / rate, 0)
    assert all(np.isfinite(x) for x in (quality.level_db, quality.peak, quality.clipped, quality.band_hz))


# Refusals


def test_a_refusal_says_the_numbers_and_the_name() -> None:
    with pytest.raises(TooShort, match=r"a\.wav is 0\.300 s long, at least 0\.5 s are needed"):
        check_recording(voice(100, 0.3), RATE, name="a.wav")
    with pytest.raises(NoSpeech, match=r"a\.wav is silent"):
        check_recording(np.zeros(RATE, np.float32), RATE, name="a.wav")
    with pytest.raises(TooShort, match=r"holds 1\.\d\d s of speech in 2\.00 s, at least 3 s are needed"):
        check_recording(words(2), RATE, name="a.wav", limits=QualityLimits(min_speech_seconds=3.0))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (QualityLimits(min_snr_db=25.0), r"speech is \d+\.\d dB over the background, at least 25 dB"),
        (QualityLimits(max_clipped=0.01), r"clipped: \d+\.\d+% of its samples .* at most 1\.00%"),
        (QualityLimits(min_band_hz=8000.1), r"no sound above 8000 Hz, up to 8000 Hz"),
    ],
)
def test_noise_clipping_and_band_are_refused_only_when_asked(limits: QualityLimits, message: str) -> None:
    poor = np.clip(4 * words(3, background=0.02), -1, 1)
    assert check_recording(poor, RATE, name="x").speech_seconds > 1
    with pytest.raises(AudioError, match=message):
        check_recording(poor, RATE, name="x", limits=limits)


def test_what_an_embedder_needs_is_less_than_speech() -> None:
    check_usable(noise(1.0), RATE, name="x")
    with pytest.raises(TooShort):
        check_usable(noise(0.4), RATE, name="x")
    with pytest.raises(NoSpeech):
        check_usable(np.zeros(RATE, np.float32), RATE, name="x")


@pytest.mark.parametrize(
    ("spoil", "remark"),
    [
        (lambda waveform: waveform[: 2 * RATE], "little speech: 1.3 s"),
        (lambda waveform: waveform * 0.01, "quiet: -5"),
        (lambda waveform: np.clip(waveform * 8, -1, 1), "clipped: "),
        (lambda waveform: waveform + noise(6.0, level=0.05), "noisy: "),
        (lambda waveform: audio.resample(audio.resample(waveform, RATE, 8000), 8000, RATE), "narrow band"),
        (lambda waveform: waveform * 0, "no speech found"),
    ],
)
def test_what_is_the_matter_is_said_in_words(spoil: Callable[[FloatArray], FloatArray], remark: str) -> None:
    good = words(6, background=0.005)
    assert measure(good, RATE).remarks == ()
    assert any(one.startswith(remark) for one in measure(spoil(good).astype(np.float32), RATE).remarks)


# Real speech


def some(speech: Path, num: int) -> list[FloatArray]:
    paths = sorted((speech / "speechocean").glob("dev/*/*.flac"))
    return [audio.load(path, RATE) for path in paths[:: max(1, len(paths) // num)][:num]]


def test_real_speech_is_speech_and_a_telephone_is_heard(speech: Path) -> None:
    for waveform in some(speech, 8):
        quality = check_recording(waveform, RATE, name="x")
        assert 0.2 * quality.seconds < quality.speech_seconds <= quality.seconds
        assert quality.band_hz > 5000
        telephone = audio.resample(audio.resample(waveform, RATE, 8000), 8000, RATE)
        assert 3300 < measure(telephone, RATE).band_hz <= 4100


def test_real_speech_no_louder_than_white_noise_is_not_refused(speech: Path) -> None:
    for waveform in some(speech, 8):
        level = float(np.sqrt(np.mean(np.square(waveform))))
        noisy = waveform + noise(len(waveform) / RATE, level=level)
        assert check_recording(noisy, RATE, name="x").speech_seconds > 0.2


# Another detector


@pytest.mark.parametrize("detector", ["none", "silera"])
def test_a_detector_that_finds_nothing_or_does_not_exist_is_refused(detector: str) -> None:
    with pytest.raises(ConfigError, match=f"{detector} (finds no speech|does not exist)"):
        prepare(QualityLimits(detector=detector))


def test_silero_refuses_noise_that_comes_and_goes_as_speech_does(speech: Path) -> None:
    waveform = audio.load(sorted((speech / "noise").glob("berlin_noise_*.flac"))[0], RATE)
    assert check_recording(waveform, RATE, name="x").speech_seconds > 1  # energy cannot know
    with pytest.raises(NoSpeech, match=r"x holds no speech: \d+\.\d+ s of sound without a voice"):
        check_recording(waveform, RATE, name="x", limits=QualityLimits(detector="silero"))


def test_with_silero_the_numbers_are_those_of_what_it_takes_for_speech(speech: Path) -> None:
    spoken = audio.load(sorted((speech / "librispeech").glob("*/*.flac"))[0], RATE)
    pause = noise(3.0, level=1e-3)
    limits = QualityLimits(detector="silero")
    alone = check_recording(spoken, RATE, name="x", limits=limits)
    quality = check_recording(np.concatenate([pause, spoken, pause]), RATE, name="x", limits=limits)
    assert quality.speech_seconds == pytest.approx(alone.speech_seconds, abs=0.3)
    assert quality.level_db == pytest.approx(alone.level_db, abs=1.5)
    assert quality.snr_db is not None
    assert quality.snr_db > 20
