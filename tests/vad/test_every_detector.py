"""What every leaf of conf/vad promises."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference.tiny_model import RATE, voice
from leaves import composed, leaves
from speaker_id import build
from speaker_id.contracts import FloatArray, SpeechDetector, Stretches
from speaker_id.errors import ConfigError
from speaker_id.vad.stretches import total

DETECTORS = [leaf for leaf in leaves("vad") if leaf != "none"]


def made(leaf: str, *overrides: str) -> SpeechDetector:
    detector = build.speech_detector(composed(f"vad={leaf}", *overrides).vad)
    assert detector is not None
    return detector


def check(stretches: Stretches, num_samples: int) -> None:
    assert stretches.dtype == np.int64
    assert stretches.ndim == 2
    edges = stretches.ravel()
    assert (np.diff(edges) > 0).all()
    assert not len(edges) or (edges[0] >= 0 and edges[-1] <= num_samples)


def hum(num: int, rate: int) -> FloatArray:
    return (0.1 * np.sin(2 * np.pi * 150 * np.arange(num) / rate)).astype(np.float32)


@pytest.mark.parametrize("leaf", DETECTORS)
@pytest.mark.parametrize("num", [0, 1, 511, 512, 513, 8000])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_any_length_and_rate_has_stretches_within_it(leaf: str, num: int, rate: int) -> None:
    for waveform in (np.zeros(num, np.float32), hum(num, rate), voice(130, 1.0)[:num]):
        check(made(leaf)(waveform, rate), num)


@pytest.mark.parametrize("leaf", DETECTORS)
def test_silence_and_hum_hold_no_speech(leaf: str) -> None:
    for waveform in (np.zeros(3 * RATE, np.float32), hum(3 * RATE, RATE)):
        assert made(leaf)(waveform, RATE).shape == (0, 2)


@pytest.mark.parametrize("leaf", DETECTORS)
def test_threads_find_what_one_finds_and_the_waveform_is_left_alone(leaf: str) -> None:
    detector = made(leaf)
    waveforms = [np.concatenate([voice(100 + 20 * k, 0.7), np.zeros(RATE // 2, np.float32)]) for k in range(8)]
    before = [waveform.copy() for waveform in waveforms]
    alone = [detector(waveform, RATE).tolist() for waveform in waveforms]
    with ThreadPoolExecutor(4) as pool:
        together = [found.tolist() for found in pool.map(lambda waveform: detector(waveform, RATE), waveforms)]
    assert together == alone
    assert all(np.array_equal(a, b) for a, b in zip(before, waveforms, strict=True))


@pytest.mark.parametrize("leaf", DETECTORS)
def test_the_identity_tells_every_option_apart(leaf: str) -> None:
    usual = made(leaf)
    assert usual.identity == made(leaf).identity
    options = [key for key in composed(f"vad={leaf}").vad if key != "_target_"]
    changed = {made(leaf, f"vad.{option}=0.71").identity for option in options}
    assert len(changed | {usual.identity}) == len(options) + 1


@pytest.mark.parametrize("leaf", DETECTORS)
def test_an_option_that_makes_no_sense_is_refused(leaf: str) -> None:
    for option in [key for key in composed(f"vad={leaf}").vad if key != "_target_"]:
        with pytest.raises(ConfigError, match=option):
            made(leaf, f"vad.{option}=-1")


def test_the_quietest_leaf_is_no_detector_at_all() -> None:
    assert build.speech_detector("none") is None
    assert build.speech_detector(composed("vad=none").vad) is None
    assert composed("model=ecapa").vad == {}  # what training takes unless told


def test_a_detector_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        ConfigError, match=r"vad=silera does not exist; did you mean 'silero'\? there are: energy, none"
    ):
        build.speech_detector("silera")


@pytest.mark.parametrize("leaf", DETECTORS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_real_speech_is_found_where_it_is(leaf: str, rate: int, speech: object) -> None:
    from pathlib import Path

    from speaker_id import audio

    assert isinstance(speech, Path)
    path = sorted((speech / "librispeech").glob("*/*.flac"))[0]
    waveform = audio.load(path, rate, num=5 * rate)
    quiet = (0.0003 * np.random.default_rng(0).standard_normal(3 * rate)).astype(np.float32)
    found = made(leaf)(np.concatenate([quiet, waveform, quiet]), rate)
    check(found, 11 * rate)
    assert 2.9 * rate < found[0, 0] < 3.9 * rate
    assert 6.2 * rate < found[-1, 1] < 8.1 * rate  # it pauses after 3.4 s of its own
    assert 0.4 * 5 * rate < total(found) < 5.2 * rate
