from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from inference.tiny_model import RATE, voice
from speaker_id import audio
from speaker_id.contracts import Stretches
from speaker_id.data.speech import Speech, load_speech
from speaker_id.vad.stretches import cut, total

STRETCHES: Stretches = np.array([[0, 1000], [1500, 9000], [60_000, 61_000], [70_000, 79_999]])  # a long pause in it


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "a.flac"
    soundfile.write(path, voice(120, 5.0), RATE)
    return path


@given(start=st.integers(0, 19_498), num=st.integers(1, 5000))
def test_a_crop_of_the_speech_is_a_slice_of_it(file: Path, start: int, num: int) -> None:
    whole = cut(audio.load(file, RATE), STRETCHES)
    num = min(num, len(whole) - start)
    assert np.array_equal(load_speech(file, RATE, STRETCHES, start=start, num=num), whole[start : start + num])


@pytest.mark.parametrize("rate", [8000, 44_100])
def test_a_resampled_crop_is_too(file: Path, rate: int) -> None:
    stretches = STRETCHES * rate // RATE
    whole = cut(audio.load(file, rate), stretches)
    for start in (0, 100, 2000, total(stretches) - 1234):
        crop = load_speech(file, rate, stretches, start=start, num=1234)
        np.testing.assert_allclose(crop, whole[start : start + 1234], atol=1e-5)


def test_only_the_frames_around_the_crop_are_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, load = [], audio.load
    monkeypatch.setattr(
        audio, "load", lambda *args, start, num: asked.append((start, num)) or load(*args, start=start, num=num)
    )
    load_speech(file, RATE, STRETCHES, start=900, num=200)
    assert asked == [(900, 700)]  # over the short pause
    asked.clear()
    load_speech(file, RATE, STRETCHES, start=8000, num=1000)
    assert asked == [(8500, 500), (60_000, 500)]  # not over the long one


def test_rows_keep_their_stretches() -> None:
    speech = Speech(STRETCHES, np.array([0, 1, 1, 4]))
    assert speech.of_row(0).tolist() == [[0, 1000]]
    assert speech.of_row(1).shape == (0, 2)
    assert speech.of_row(2).tolist() == STRETCHES[1:].tolist()
