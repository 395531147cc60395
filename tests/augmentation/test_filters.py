"""Speed, volume, band and equaliser, measured in the spectrum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.augmentation.band import BandLimit
from speaker_id.augmentation.equalise import Equalise
from speaker_id.augmentation.frequency_drop import FrequencyDrop
from speaker_id.augmentation.mixing import power
from speaker_id.augmentation.speed import Speed, change_speed
from speaker_id.augmentation.volume import Volume
from speaker_id.contracts import FloatArray

RATE = 16000


def tone(hz: float, num: int = RATE) -> FloatArray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(num) / RATE)).astype(np.float32)


def white(num: int = 4 * RATE) -> FloatArray:
    return (0.05 * np.random.default_rng(1).standard_normal(num)).astype(np.float32)


def gain_db(before: FloatArray, after: FloatArray, low_hz: float, high_hz: float) -> float:
    frequencies = np.fft.rfftfreq(len(before), 1 / RATE)
    band = (frequencies >= low_hz) & (frequencies < high_hz)
    energy = [np.sum(np.abs(np.fft.rfft(x.astype(np.float64)))[band] ** 2) for x in (before, after)]
    return float(10 * np.log10(energy[1] / energy[0]))


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.1, 1.25])
def test_speed_moves_length_and_pitch_by_its_rate(rate: float) -> None:
    changed = change_speed(tone(1000), rate, RATE)
    assert len(changed) == round(RATE / rate)
    peak_hz = np.abs(np.fft.rfft(changed)).argmax() * RATE / len(changed)
    assert peak_hz == pytest.approx(1000 * rate, abs=1.5)


def test_speeding_up_does_not_fold_high_tones_back() -> None:
    folded = change_speed(tone(7700), 1.1, RATE)[500:-500]  # 8470 Hz cannot be held at 16 kHz
    assert power(folded) < 1e-9 * power(tone(7700))


def test_a_hurried_crop_wraps_and_a_slowed_one_is_cut() -> None:
    waveform, rng = white(8000), np.random.default_rng(0)
    fast = Speed(prob=1, rates=[1.1], sample_rate=RATE)(waveform, rng)
    short = change_speed(waveform, 1.1, RATE)
    np.testing.assert_array_equal(fast, np.concatenate([short, short[: 8000 - len(short)]]))
    slow = Speed(prob=1, rates=[0.9], sample_rate=RATE)(waveform, rng)
    np.testing.assert_array_equal(slow, change_speed(waveform, 0.9, RATE)[:8000])


def test_every_speed_is_drawn() -> None:
    augmentation = Speed(prob=1, rates=[0.5, 1.0, 2.0], sample_rate=RATE)
    outputs = [augmentation(tone(1000), np.random.default_rng(seed)) for seed in range(30)]
    assert {round(np.abs(np.fft.rfft(out)).argmax() / 500) * 500 for out in outputs} == {500, 1000, 2000}


def test_volume_applies_the_gain_in_decibels() -> None:
    louder = Volume(prob=1, min_db=6, max_db=6)(white(), np.random.default_rng(0))
    assert gain_db(white(), louder, 0, 8000) == pytest.approx(6, abs=0.01)


@given(db=st.floats(-40, 40), peak=st.floats(0.01, 1))
def test_volume_never_passes_full_scale(db: float, peak: float) -> None:
    waveform = tone(300, 400) * np.float32(peak / 0.3)
    out = Volume(prob=1, min_db=db, max_db=db)(waveform, np.random.default_rng(0))
    ratio = np.abs(out).max() / np.abs(waveform).max()
    assert np.abs(out).max() <= 1 + 1e-6
    assert ratio == pytest.approx(min(10 ** (db / 20), 1 / np.abs(waveform).max()), rel=1e-5)


def test_the_band_passes_and_the_outside_is_attenuated() -> None:
    band = BandLimit(prob=1, min_low_hz=300, max_low_hz=300, min_high_hz=3400, max_high_hz=3400, sample_rate=RATE)
    out = band(white(), np.random.default_rng(0))
    assert gain_db(white(), out, 600, 2400) == pytest.approx(0, abs=0.1)
    assert gain_db(white(), out, 295, 305) == pytest.approx(-3, abs=0.3)
    assert gain_db(white(), out, 3390, 3410) == pytest.approx(-3, abs=0.3)
    assert gain_db(white(), out, 140, 150) == pytest.approx(-36, abs=3)  # an octave out: 36 dB
    assert gain_db(white(), out, 6700, 6900) == pytest.approx(-36, abs=3)


def test_filters_delay_nothing() -> None:
    click = np.zeros(4000, np.float32)
    click[1000] = 0.5
    band = BandLimit(prob=1, min_low_hz=100, max_low_hz=100, min_high_hz=3400, max_high_hz=3400, sample_rate=RATE)
    for augmentation in (band, Equalise(prob=1, max_gain_db=6, num_points=7)):
        assert np.abs(augmentation(click, np.random.default_rng(0))).argmax() == 1000


def test_the_end_of_a_recording_does_not_leak_into_its_beginning() -> None:
    click = np.zeros(RATE, np.float32)
    click[-1] = 1.0
    band = BandLimit(prob=1, min_low_hz=50, max_low_hz=50, min_high_hz=3400, max_high_hz=3400, sample_rate=RATE)
    assert np.abs(band(click, np.random.default_rng(0))[: RATE // 2]).max() < 1e-3


def test_the_equaliser_stays_within_its_gain_and_keeps_the_energy() -> None:
    for seed in range(10):
        out = Equalise(prob=1, max_gain_db=6, num_points=7)(white(), np.random.default_rng(seed))
        assert power(out) == pytest.approx(power(white()), rel=1e-4)
        octaves = [gain_db(white(), out, low, 1.2 * low) for low in (150, 300, 600, 1200, 2400, 4800)]
        assert 1 < max(octaves) - min(octaves) < 12.1


def test_the_equaliser_differs_from_draw_to_draw() -> None:
    gains = [
        gain_db(white(), Equalise(prob=1, max_gain_db=9, num_points=7)(white(), np.random.default_rng(s)), 900, 1100)
        for s in range(20)
    ]
    assert np.ptp(gains) > 5


def gone_hz(before: FloatArray, after: FloatArray) -> FloatArray:
    """The frequencies that are down by more than 50 dB, in Hz; 2 s long: a bin is 0.5 Hz."""
    spectra = [np.abs(np.fft.rfft(x.astype(np.float64) * np.hanning(len(x)))) for x in (before, after)]
    smooth = [np.convolve(x**2, np.ones(9), "same") for x in spectra]
    return (np.flatnonzero(smooth[1] < 1e-5 * smooth[0]) * RATE / len(before)).astype(np.float32)


def test_a_dropped_band_is_as_wide_as_asked_and_the_rest_stays() -> None:
    centres = []
    for seed in range(30):
        drop = FrequencyDrop(prob=1, min_bands=1, max_bands=1, width=0.05)
        out = drop(white(2 * RATE), np.random.default_rng(seed))
        gone = gone_hz(white(2 * RATE), out)
        assert np.ptp(gone) == pytest.approx(400, abs=50)  # 0.05 of 8 kHz
        centres.append(gone.mean())
        if gone.min() > 1000:
            assert gain_db(white(2 * RATE), out, 0, gone.min() - 250) == pytest.approx(0, abs=0.05)
    assert min(centres) < 1000
    assert max(centres) > 7000


def test_one_to_three_bands_are_dropped() -> None:
    widths = []
    for seed in range(40):
        drop = FrequencyDrop(prob=1, min_bands=1, max_bands=3, width=0.05)
        gone = gone_hz(white(2 * RATE), drop(white(2 * RATE), np.random.default_rng(seed)))
        widths.append(len(gone) * 0.5)
    assert 340 < min(widths) < 450
    assert 1000 < max(widths) < 1300
