import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from report.planted import RATE, tone
from speaker_id.report.sounds import SECONDS, in_turn, sounds


def decoded(uri: str) -> tuple[np.ndarray, int]:
    head, _, body = uri.partition(",")
    assert head == "data:audio/mpeg;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(body)))
    return samples, rate


def test_a_recording_becomes_an_mp3_of_its_beginning(tmp_path: Path) -> None:
    found = sounds({7: str(tone(tmp_path / "a.wav", hertz=440, seconds=SECONDS + 5))})
    samples, rate = decoded(found.uris[7])
    assert rate == RATE
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.15)  # whole frames of mp3
    original, _ = soundfile.read(tmp_path / "a.wav")
    delays = np.correlate(samples[2000:4000], original[:6000], mode="full")
    assert delays.max() > 0.9 * np.linalg.norm(samples[2000:4000]) * np.linalg.norm(original[:2000])
    assert len(found.uris[7]) < 70_000


def test_quiet_recordings_are_made_loud_and_silent_ones_stay_silent(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, 0.01 * np.sin(np.arange(RATE) / 10), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    found = sounds({0: str(quiet), 1: str(tmp_path / "silent.wav")})
    assert np.abs(decoded(found.uris[0])[0]).max() == pytest.approx(0.8, abs=0.1)
    assert np.abs(decoded(found.uris[1])[0]).max() < 1e-3


def test_what_cannot_be_played_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    found = sounds({0: "", 1: str(tmp_path / "gone.flac"), 2: str(tmp_path / "text.wav")})
    assert found.uris == {}
    assert found.missing[0] == "made from several recordings"
    assert "gone.flac cannot be opened" in found.missing[1]
    assert "text.wav is not audio" in found.missing[2]


def test_the_first_are_heard_when_not_all_fit(tmp_path: Path) -> None:
    path = str(tone(tmp_path / "a.wav"))
    found = sounds(dict.fromkeys((3, 1, 2), path), max_bytes=5_000)  # each of some 4000
    assert list(found.uris) == [3, 1]
    assert found.missing == {2: "left out to keep the page small"}


def test_rankings_take_turns_and_name_nothing_twice() -> None:
    assert in_turn([1, 2, 3], [9, 2], [5]) == [1, 9, 5, 2, 3]
    assert in_turn() == []
