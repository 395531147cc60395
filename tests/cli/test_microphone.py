import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cli.command import files_in, run
from inference.tiny_model import RATE, recording, voice
from speaker_id.cli import microphone
from speaker_id.cli.microphone import METER_WIDTH, bar


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    recording(tmp_path / "room.wav", 120, seconds=4.0)
    monkeypatch.setenv("SPEAKER_ID_MICROPHONE", str(tmp_path / "room.wav"))
    return tmp_path


def test_what_was_heard_is_in_the_file_and_nobody_else_may_read_it(folder: Path) -> None:
    result = run("record", "ada.wav", "--seconds", "2")
    assert result.exit_code == 0
    assert result.stdout.startswith("recorded 2 s into ada.wav, peak -")
    written, rate = soundfile.read(folder / "ada.wav", dtype="float32")
    assert (rate, written.shape) == (RATE, (2 * RATE,))
    np.testing.assert_allclose(written, voice(120, 4.0)[: 2 * RATE], atol=1 / 32768)
    assert stat.S_IMODE((folder / "ada.wav").stat().st_mode) == 0o600


@pytest.mark.usefixtures("folder")
def test_the_answer_as_json() -> None:
    answer = json.loads(run("record", "ada.wav", "--seconds", "1", "--json").stdout)
    peak = 20 * np.log10(np.abs(voice(120, 4.0)[:RATE]).max())
    assert answer.pop("peak_db") == pytest.approx(peak, abs=1e-3)
    assert answer == {"file": "ada.wav", "seconds": 1.0, "sample_rate": RATE, "clipped": False}


def test_a_recording_too_loud_is_kept_with_a_warning(folder: Path) -> None:
    soundfile.write(folder / "room.wav", np.clip(30 * voice(120), -1, 1), RATE, subtype="FLOAT")
    result = run("record", "ada.wav", "--seconds", "1")
    assert result.exit_code == 0
    assert "too loud" in result.stdout


def test_whatever_fails_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "there.wav").write_bytes(b"mine")
    soundfile.write(folder / "silence.wav", np.zeros(RATE), RATE)
    before = files_in(folder)
    for arguments, part in [
        (("there.wav", "--seconds", "1"), "exists already"),
        ((".", "--force"), "is a folder"),
        (("no/folder.wav",), "there is no folder no"),
        (("new.wav", "--seconds", "5"), "has 64000 samples"),  # the file ends before the recording does
        (("new.wav", "--from", "silence.wav", "--seconds", "1"), "heard nothing at all"),
        (("there.wav", "--from", "silence.wav", "--seconds", "1", "--force"), "heard nothing at all"),
        (("new.wav", "--from", "missing.wav"), "missing.wav"),
    ]:
        result = run("record", *arguments)
        assert (result.exit_code, result.stdout) == (3, ""), arguments
        assert part in result.stderr
        assert result.stderr.startswith("error: ")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("speaker_id.inference.private_file.os.fsync", full)
    result = run("record", "there.wav", "--seconds", "1", "--force")
    assert (result.exit_code, "No space left" in result.stderr) == (3, True)
    assert files_in(folder) == before
    assert (folder / "there.wav").read_bytes() == b"mine"


def test_ctrl_c_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def record(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(microphone, "opened_microphone", lambda *_: Interrupted())
    assert run("record", "ada.wav").exit_code not in {0, 1, 3}
    assert files_in(folder) == ["room.wav"]


def test_force_replaces(folder: Path) -> None:
    (folder / "there.wav").write_bytes(b"old")
    assert run("record", "there.wav", "--seconds", "1", "--force").exit_code == 0
    assert soundfile.info(folder / "there.wav").frames == RATE


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "601", "x"])
def test_nobody_records_for_no_time_or_for_ever(seconds: str) -> None:
    assert run("record", "ada.wav", "--seconds", seconds).exit_code == 2


@given(st.floats(-200, 20), st.floats(-200, 20))
def test_the_meter_is_as_wide_at_any_level_and_never_falls_when_it_gets_louder(a: float, b: float) -> None:
    quiet, loud = bar(min(a, b)), bar(max(a, b))
    assert quiet.count("#") <= loud.count("#")
    assert quiet.index(" ") == loud.index(" ") == METER_WIDTH


def test_the_meter_by_hand() -> None:
    assert bar(-60.0) == "." * 30 + "  -60 dB"
    assert bar(-30.0) == "#" * 15 + "." * 15 + "  -30 dB"
    assert bar(0.0) == "#" * 30 + "    0 dB"


def test_nothing_is_imported_that_takes_seconds_before_the_microphone_opens(tmp_path: Path) -> None:
    code = (
        "import sys, speaker_id.cli as cli\n"
        f"sys.argv = ['x', 'record', {str(tmp_path / 'ada.wav')!r}]\n"
        "sys.modules['sounddevice'] = None\n"
        "try: cli.main()\n"
        "finally: print([name for name in ('torch', 'pytorch_lightning', 'librosa') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "[]\n")
    assert done.stderr == "error: recording needs the extra `mic`: pip install 'speaker-id[mic]'\n"
