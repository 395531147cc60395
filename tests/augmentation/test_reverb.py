"""Rooms: the decay asked for is the decay measured; direct sound and energy stay where they were."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from speaker_id.augmentation.mixing import power
from speaker_id.augmentation.reverb import Reverb, simulate_response
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, ConfigError

RATE = 16000


def reverb(folder: Path | None = None, rt60: float = 0.4, drr_db: float = 5.0) -> Reverb:
    return Reverb(
        prob=1, min_rt60=rt60, max_rt60=rt60, min_drr_db=drr_db, max_drr_db=drr_db, sample_rate=RATE, folder=folder
    )


def schroeder_rt60(response: FloatArray) -> float:
    """RT60 by backward integration (Schroeder 1965), from the fall between -5 and -25 dB of the tail."""
    tail = response[int(0.05 * RATE) :].astype(np.float64)
    left_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    first, last = np.argmax(left_db < -5), np.argmax(left_db < -25)
    return float(60 / 20 * (last - first) / RATE)


@pytest.mark.parametrize("asked", [0.2, 0.4, 0.9])
def test_the_measured_decay_is_the_asked_rt60(asked: float) -> None:
    measured = [schroeder_rt60(simulate_response(asked, 0, RATE, np.random.default_rng(seed))) for seed in range(20)]
    assert np.mean(measured) == pytest.approx(asked, rel=0.12)


@pytest.mark.parametrize("asked", [-2.0, 6.0, 12.0])
def test_the_direct_sound_stands_over_the_rest_as_asked(asked: float) -> None:
    response = simulate_response(0.5, asked, RATE, np.random.default_rng(0)).astype(np.float64)
    assert response[0] == 1
    assert -10 * np.log10(np.sum(response[1:] ** 2)) == pytest.approx(asked, abs=1e-3)


def test_early_echoes_are_sparse_and_the_tail_is_dense() -> None:
    responses = [simulate_response(0.5, 3, RATE, np.random.default_rng(seed)) for seed in range(50)]
    assert np.mean([np.count_nonzero(r[1:800]) for r in responses]) == pytest.approx(12, abs=2)
    assert all(np.count_nonzero(r[800:]) > 0.99 * len(r[800:]) for r in responses)


def test_the_direct_sound_stays_in_place() -> None:
    click = np.zeros(8000, np.float32)
    click[3000] = 0.5
    for seed in range(10):
        echoed = reverb(drr_db=8)(click, np.random.default_rng(seed))
        assert np.abs(echoed[:3000]).max() < 1e-5
        assert np.abs(echoed).argmax() == 3000


def test_energy_is_kept() -> None:
    waveform = (0.05 * np.random.default_rng(1).standard_normal(20000)).astype(np.float32)
    for drr_db in (-5.0, 15.0):
        echoed = reverb(drr_db=drr_db)(waveform, np.random.default_rng(0))
        assert power(echoed) == pytest.approx(power(waveform), rel=1e-4)


def test_a_measured_response_begins_at_its_peak(tmp_path: Path) -> None:
    response = np.zeros(2000, np.float32)
    response[[300, 340]] = [0.8, 0.4]  # the microphone heard it 300 samples late
    soundfile.write(tmp_path / "room.wav", response, RATE, subtype="FLOAT")
    waveform = (0.05 * np.random.default_rng(1).standard_normal(5000)).astype(np.float32)
    echo = waveform + 0.5 * np.concatenate([np.zeros(40), waveform[:-40]])
    expected = echo * np.sqrt(np.mean(waveform**2) / np.mean(echo**2))
    np.testing.assert_allclose(reverb(tmp_path)(waveform, np.random.default_rng(0)), expected, atol=1e-6)


def test_a_missing_folder_and_a_silent_response_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.waveform\.reverb\.folder=null"):
        reverb(tmp_path)
    soundfile.write(tmp_path / "dead.wav", np.zeros(2000), RATE)
    with pytest.raises(AudioError, match=r"dead\.wav is silent"):
        reverb(tmp_path)(np.ones(100, np.float32), np.random.default_rng(0))
