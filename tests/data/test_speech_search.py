import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from inference.tiny_model import RATE, voice
from speaker_id.contracts import FloatArray, Stretches
from speaker_id.data import speech_search
from speaker_id.data.lists import DataList, read_list, write_list
from speaker_id.data.speech_search import find_speech
from speaker_id.errors import DataError


class Loud:
    """Speech is where samples are not zero; counts how often it was asked."""

    def __init__(self, identity: str = "loud 1") -> None:
        self.identity = identity
        self.asked = 0

    def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches:
        self.asked += 1
        loud = np.flatnonzero(np.abs(waveform) > 1e-3)
        return np.array([[loud[0], loud[-1] + 1]] if len(loud) else np.zeros((0, 2)), np.int64)


def write(path: Path, pitch: float, *, seconds: float = 0.6) -> None:
    pause = np.zeros(RATE // 2, np.float32)
    soundfile.write(path, np.concatenate([pause, voice(pitch, seconds), pause]), RATE, subtype="FLOAT")


@pytest.fixture
def data(tmp_path: Path) -> DataList:
    for number in range(6):
        write(tmp_path / f"{number}.wav", 100 + 20 * number)
    write_list(tmp_path / "list.tsv", [(f"{number}.wav", "abc"[number // 2]) for number in range(6)])
    return read_list(tmp_path / "list.tsv")


def find(data: DataList, detector: Loud) -> list[list[list[int]]]:
    found = find_speech(data, detector, sample_rate=RATE)
    return [found.of_row(row).tolist() for row in range(len(data.utterances))]


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".npz")


def test_every_recording_is_listened_to_once(data: DataList, tmp_path: Path) -> None:
    first, again = Loud(), Loud()
    found = find(data, first)
    assert first.asked == 6
    for ((begin, end),) in found:
        assert abs(begin - RATE // 2) < 20
        assert abs(end - RATE // 2 - 0.6 * RATE) < 20
    assert find(data, again) == found
    assert again.asked == 0
    (name,) = kept(tmp_path)
    assert name.startswith("list.tsv.speech-")
    assert not list(tmp_path.glob(".*.partial"))


def test_a_changed_recording_is_listened_to_again_and_no_other(data: DataList, tmp_path: Path) -> None:
    before, detector = find(data, Loud()), Loud()
    write(tmp_path / "2.wav", 300, seconds=0.9)
    after = find(data, detector)
    assert detector.asked == 1
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, True, True, True]


def test_a_recording_that_was_only_rewritten_is_listened_to_again(data: DataList, tmp_path: Path) -> None:
    find(data, Loud())
    path, detector = tmp_path / "3.wav", Loud()
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))
    find(data, detector)
    assert detector.asked == 1


def test_another_detector_or_rate_keeps_finds_of_its_own(data: DataList, tmp_path: Path) -> None:
    find(data, Loud())
    other = Loud("loud 2")
    find(data, other)
    assert other.asked == 6
    usual = Loud()
    find_speech(data, usual, sample_rate=8000)
    assert usual.asked == 6
    assert len(kept(tmp_path)) == 3


def test_both_halves_of_a_list_share_what_is_kept(data: DataList, tmp_path: Path) -> None:
    train, val = (DataList(data.source, data.utterances[rows]) for rows in (slice(4), slice(4, None)))
    detector = Loud()
    find(train, detector)
    find(val, detector)
    find(data, detector)
    assert detector.asked == 6
    assert len(kept(tmp_path)) == 1


def test_no_speech_is_told_with_list_row_and_number_and_what_was_found_is_kept(data: DataList, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "4.wav", np.zeros(RATE), RATE)
    message = (
        r"list\.tsv, utterance 2 \(1\.wav\): 1\.wav holds no speech; leave it out.*2 recordings of the list are such"
    )
    with pytest.raises(DataError, match=message):
        find(data, Loud())
    again = Loud()
    with pytest.raises(DataError):
        find(data, again)
    assert again.asked == 0


def test_a_recording_that_cannot_be_read_is_told_and_the_others_are_kept(
    data: DataList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_search, "_AT_ONCE", 2)
    (tmp_path / "5.wav").write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"list\.tsv, utterance 6 \(5\.wav\): .*5\.wav is not audio"):
        find(data, Loud())
    write(tmp_path / "5.wav", 200)
    again = Loud()
    find(data, again)
    assert again.asked == 1
    (tmp_path / "0.wav").unlink()
    with pytest.raises(DataError, match=r"utterance 1 \(0\.wav\): .*cannot be opened"):
        find(data, again)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x80\x04}\x94."])
def test_a_damaged_file_of_finds_is_made_anew(
    data: DataList, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    found = find(data, Loud())
    (name,) = kept(tmp_path)
    (tmp_path / name).write_bytes(content)
    again = Loud()
    with caplog.at_level(logging.WARNING):
        assert find(data, again) == found
    assert again.asked == 6
    assert "listened to again" in caplog.text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to_costs_time_and_a_warning(
    data: DataList, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o500)
    try:
        with caplog.at_level(logging.WARNING):
            find(data, Loud())
    finally:
        tmp_path.chmod(0o700)
    assert "not kept" in caplog.text


def test_a_read_only_place_keeps_nothing_and_says_so(
    data: DataList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(speech_search.os, "access", lambda path, mode: False)
    before = sorted(path.name for path in tmp_path.iterdir())
    detector = Loud()
    with caplog.at_level(logging.WARNING):
        find(data, detector)
        find(data, detector)
    assert detector.asked == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert "not kept" in caplog.text


def test_each_listener_has_one_torch_thread_and_the_others_keep_theirs(data: DataList) -> None:
    seen: list[int] = []

    class Counting(Loud):
        def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches:
            seen.append(torch.get_num_threads())
            return super().__call__(waveform, sample_rate)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        find(data, Counting())
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 6


RANK = """
import sys
from pathlib import Path
from speaker_id.data.lists import read_list
from speaker_id.data.speech_search import find_speech
from data.test_speech_search import Loud
import time

class Slow(Loud):
    def __call__(self, waveform, sample_rate):
        time.sleep(0.1)
        return super().__call__(waveform, sample_rate)

detector = Slow()
find_speech(read_list(sys.argv[1]), detector, sample_rate=16000)
print(detector.asked)
"""


@pytest.mark.slow
def test_of_several_processes_one_listens_and_the_others_wait(data: DataList, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path / "list.tsv")], stdout=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(3)
    ]
    asked = sorted(int(rank.communicate(timeout=300)[0]) for rank in ranks)
    assert asked == [0, 0, 6]


def test_work_is_saved_while_it_goes_on(data: DataList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_search, "_AT_ONCE", 1)
    monkeypatch.setattr(speech_search, "SAVE_SECONDS", 0.0)
    seen: list[int] = []

    class Watching(Loud):
        def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches:
            seen.append(len(kept(tmp_path)))
            return super().__call__(waveform, sample_rate)

    find(data, Watching())
    assert seen == [0, 1, 1, 1, 1, 1]
