"""One of several, and MUSAN: each class at its own ratio, as often as its weight says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speaker_id.augmentation.chain import OneOf
from speaker_id.augmentation.musan import Musan
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError

RATE = 16000
TONES = {"speech": (400, 600, 800, 1000), "music": (2000,), "noise": (4000,)}  # Hz
OPTIONS: dict[str, Any] = {
    "prob": 1.0, "sample_rate": RATE,
    "speech_weight": 1, "min_speech_snr_db": 13, "max_speech_snr_db": 20, "min_talkers": 3, "max_talkers": 7,
    "music_weight": 1, "min_music_snr_db": 5, "max_music_snr_db": 15,
    "noise_weight": 1, "min_noise_snr_db": 0, "max_noise_snr_db": 15,
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MUSAN whose classes can be told apart by their pitch."""
    root = tmp_path_factory.mktemp("musan")
    for name, pitches in TONES.items():
        (root / name / "source").mkdir(parents=True)
        for hz in pitches:
            sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)
            soundfile.write(root / name / "source" / f"{hz}.wav", sound, RATE, subtype="FLOAT")
    return root


def speech() -> FloatArray:
    return (0.02 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)


def added(musan: Musan, seed: int) -> tuple[str, float, int]:
    """Class, ratio in dB and number of different pitches of what was added to one second."""
    sound = (musan(speech(), np.random.default_rng(seed)) - speech()).astype(np.float64)
    ratio = 10 * np.log10(np.sum(speech().astype(np.float64) ** 2) / np.sum(sound**2))
    spectrum = np.abs(np.fft.rfft(sound))
    heard = np.flatnonzero(spectrum > 0.01 * spectrum.max())
    name = next(name for name, pitches in TONES.items() if set(heard) <= set(pitches))
    return name, float(ratio), len(heard)


def test_every_class_has_its_own_ratios_and_numbers(corpus: Path) -> None:
    drawn = [added(Musan(folder=corpus, **OPTIONS), seed) for seed in range(150)]
    for name, low, high, most in (("speech", 13, 20, 4), ("music", 5, 15, 1), ("noise", 0, 15, 1)):
        ratios = [ratio for kind, ratio, _ in drawn if kind == name]
        numbers = [number for kind, _, number in drawn if kind == name]
        assert low - 0.01 <= min(ratios) < low + 2
        assert high - 2 < max(ratios) <= high + 0.01
        assert max(numbers) == most
        assert 30 < len(ratios) < 70


def test_television_is_talk_and_music_each_at_its_ratio(corpus: Path, tmp_path: Path) -> None:
    for name in ("speech", "music"):
        (tmp_path / name).symlink_to(corpus / name)  # all that it needs
    off = {"speech_weight": 0, "music_weight": 0, "noise_weight": 0}
    musan = Musan(folder=tmp_path, **{**OPTIONS, **off, "television_weight": 1})
    power = np.sum(speech().astype(np.float64) ** 2)
    for seed in range(20):
        spectrum = (
            np.abs(np.fft.rfft((musan(speech(), np.random.default_rng(seed)) - speech()).astype(np.float64))) ** 2
        )
        energy = 2 * spectrum / RATE
        talk, music = energy[list(TONES["speech"])].sum(), energy[list(TONES["music"])].sum()
        assert talk + music == pytest.approx(energy.sum(), rel=1e-6)
        assert 12.9 <= 10 * np.log10(power / talk) <= 20.1
        assert 4.8 <= 10 * np.log10(power / music) <= 15.1  # to speech and talk, which is a little more


def test_without_television_nothing_is_drawn_differently(corpus: Path) -> None:
    for seed in range(10):
        plain, with_none = (
            Musan(folder=corpus, **OPTIONS, **more)(speech(), np.random.default_rng(seed))
            for more in ({}, {"television_weight": 0.0})
        )
        np.testing.assert_array_equal(plain, with_none)


def test_a_class_without_weight_is_never_drawn_and_needs_no_folder(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "music").symlink_to(corpus / "music")
    musan = Musan(folder=tmp_path, **{**OPTIONS, "speech_weight": 0, "noise_weight": 0})
    assert {added(musan, seed)[0] for seed in range(30)} == {"music"}


def test_a_folder_that_is_not_musan_is_refused_with_the_way_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    with pytest.raises(ConfigError, match=r"has no speech/ and no noise/.*openslr\.org/17.*`augmentation=none`"):
        Musan(folder=tmp_path, **OPTIONS)


def test_what_is_off_needs_no_folder(tmp_path: Path) -> None:
    musan = Musan(folder=tmp_path / "missing", **{**OPTIONS, "prob": 0.0})
    np.testing.assert_array_equal(musan(speech(), np.random.default_rng(0)), speech())


class Plus:
    def __init__(self, offset: float) -> None:
        self.offset = np.float32(offset)

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
        return waveform + self.offset


def test_one_step_is_drawn_in_proportion_to_its_weight() -> None:
    one_of = OneOf(prob=0.8, weights={"b": 3, "never": 0}, a=Plus(1), left_out=None, b=Plus(2), never=Plus(3))
    rng = np.random.default_rng(0)
    results = [float(one_of(np.zeros(1, np.float32), rng)[0]) for _ in range(2000)]
    parts = [results.count(value) / 2000 for value in (0.0, 1.0, 2.0, 3.0)]
    assert parts == pytest.approx([0.2, 0.2, 0.6, 0.0], abs=0.03)
