"""The network in plain torch against the package's own, and its manners."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.tiny_model import RATE, voice
from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError
from speaker_id.vad import silero
from speaker_id.vad.silero import Silero, speech_probabilities

USUAL = {"threshold": 0.5, "min_speech_seconds": 0.25, "min_pause_seconds": 0.1, "pad_seconds": 0.03}


@pytest.fixture(scope="module")
def package_model() -> torch.jit.ScriptModule:
    import silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return silero_vad.load_silero_vad()


def sounds() -> list[FloatArray]:
    rng = np.random.default_rng(0)
    return [
        voice(130, 2.0),
        (0.05 * rng.standard_normal(20_001)).astype(np.float32),
        np.zeros(700, np.float32),
        voice(90, 0.05),
    ]


@pytest.mark.parametrize("number", range(4))
def test_probabilities_are_those_of_the_package(number: int, package_model: torch.jit.ScriptModule) -> None:
    waveform = sounds()[number]
    with torch.no_grad():
        theirs = package_model.audio_forward(torch.from_numpy(waveform)[None], RATE)[0].numpy()
    np.testing.assert_allclose(speech_probabilities(waveform), theirs, atol=1e-5)


def test_a_long_recording_is_heard_in_blocks_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = speech_probabilities(sounds()[0])
    monkeypatch.setattr(silero, "_BLOCK", 7)
    np.testing.assert_allclose(speech_probabilities(sounds()[0]), whole, atol=1e-6)


def test_stretches_of_real_speech_are_those_of_the_package(speech: Path, package_model: torch.jit.ScriptModule) -> None:
    import silero_vad

    detector, found = Silero(**USUAL), 0
    for path in sorted((speech / "librispeech").glob("*/*.flac"))[:4]:
        waveform = audio.load(path, RATE)
        theirs = silero_vad.get_speech_timestamps(torch.from_numpy(waveform), package_model)
        own = detector(waveform, RATE).tolist()
        assert own == [[each["start"], each["end"]] for each in theirs]
        found += len(own)
    assert found > 4


def test_another_sample_rate_finds_the_same_places(speech: Path) -> None:
    path = sorted((speech / "librispeech").glob("*/*.flac"))[0]
    usual, fast = (Silero(**USUAL)(audio.load(path, rate), rate) / rate for rate in (RATE, 48_000))
    assert usual.shape == fast.shape
    np.testing.assert_allclose(usual, fast, atol=0.033)  # a window


def test_neither_loading_nor_listening_changes_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        silero._package.cache_clear()
        for name in [name for name in sys.modules if name.split(".")[0] == "silero_vad"]:
            del sys.modules[name]
        Silero(**USUAL)(voice(130), RATE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_without_the_package_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    silero._package.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'speaker-id\[vad\]'"):
        Silero(**USUAL)
