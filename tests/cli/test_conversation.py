import json
import os
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import Result

from cli.command import files_in, run
from inference.tiny_model import RATE, recording, tiny_bundle
from speaker_id.cli.conversation import Language
from speaker_id.cli.wording import TEXTS
from speaker_id.contracts import OperatingPoint
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.recognizer import Recognizer
from speaker_id.inference.results import Enrolment, Identification


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(bundle))
    recording(tmp_path / "ada.wav", 90, 3.0)
    recording(tmp_path / "bob.wav", 260, 3.0)
    soundfile.write(tmp_path / "silence.wav", np.zeros(3 * RATE), RATE)
    return tmp_path


def talk(typed: str, *heard: str, options: tuple[str, ...] = ()) -> Result:
    """A conversation: what is typed, line by line, and the files that are spoken, one a recording."""
    files = os.pathsep.join(heard or ["ada.wav"])
    return run("interactive", "--from", files, *options, typed=typed)


def events(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines() if line]


def kept() -> dict[str, int]:
    with SqliteGallery.open("gallery.db") as gallery:
        return gallery.users()


def test_a_user_is_enrolled_identified_and_removed(folder: Path) -> None:
    result = talk("0\n\nAda\n1\n\n2\nAda\n1\n\nq\n")
    assert result.exit_code == 0
    lines = result.stdout
    assert "users enrolled in gallery.db: 0. Recordings are not kept." in lines
    assert lines.count("press Enter to record 3 seconds") == 3
    assert lines.count("recording ... speak now") == lines.count("recording finished") == 3
    assert "enrolled Ada: recordings kept of this user: 1" in lines
    assert "this is Ada: score 1.0000, threshold 0.9000, not calibrated" in lines
    assert "removed Ada, with all embeddings" in lines
    assert "nobody is enrolled yet: choose 0 first" in lines
    assert lines.endswith("goodbye\n")
    assert kept() == {}
    assert files_in(folder) == ["ada.wav", "bob.wav", "gallery.db", "silence.wav"]


@pytest.mark.usefixtures("folder")
def test_the_same_in_chinese() -> None:
    lines = talk("0\n\n小明\n1\n\n2\n小明\n3\nq\n", options=("--lang", "zh")).stdout
    assert "小明 注册成功" in lines
    assert "说话人是 小明：得分 1.0000，阈值 0.9000，未校准" in lines
    assert "已删除 小明" in lines
    assert "没有 3 这个选项" in lines
    assert lines.endswith("再见\n")


@pytest.mark.usefixtures("folder")
def test_a_stranger_is_nobody() -> None:
    result = talk("0\n\nAda\n1\n\nq\n", "ada.wav", "bob.wav", options=("--threshold", "0.9999999"))
    assert "nobody, maybe not enrolled: best score 0." in result.stdout
    assert "this is" not in result.stdout


@pytest.mark.usefixtures("folder")
def test_doubts_of_the_recognizer_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    doubtful = Enrolment("Ada", 1, 1, warnings=("this sounds like Bob",))
    monkeypatch.setattr(Recognizer, "enrol", lambda *_, **__: doubtful)
    assert "  note: this sounds like Bob\n" in talk("0\n\nAda\nq\n").stdout
    unsure = Identification("x", 0.95, None, None, 0.5, False, 0.9, 0.0, (), "too close", "by hand")
    monkeypatch.setattr(Recognizer, "identify", lambda *_: replace(unsure, user=None))
    assert "two users are too alike to choose: best score 0.9500, threshold 0.9000" in talk("1\n\nq\n").stdout


def test_a_calibrated_model_says_how_probable_it_is(folder: Path) -> None:
    """llr = 5 * 1 - 1; e^4 = 54.598 to 1."""
    point = OperatingPoint(0.9, "calibrated by hand", llr_scale=5.0, llr_offset=-1.0)
    model = tiny_bundle(folder / "calibrated", operating_point=point)
    for language, part in [("en", "probability 98.2 % at a prior of 0.5"), ("zh", "概率 98.2 %（先验 0.5）")]:
        gallery = ("--gallery", f"{language}.db")
        result = talk("0\n\nAda\n1\n\nq\n", options=("--model", str(model), "--lang", language, *gallery))
        assert part in result.stdout


@pytest.mark.usefixtures("folder")
def test_nothing_for_a_name_cancels() -> None:
    result = talk("0\n\n   \n2\n\nq\n", options=("--json",))
    assert [event["event"] for event in events(result)] == ["cancelled", "cancelled"]
    assert kept() == {}


@pytest.mark.usefixtures("folder")
def test_a_wrong_choice_an_unknown_user_and_silence_do_not_end_it() -> None:
    result = talk("7\n\n2\nBob\n0\n\n1\n\n0\n\nAda\nq\n", "silence.wav", "silence.wav", "ada.wav", options=("--json",))
    assert result.exit_code == 0
    found = events(result)
    assert [event["event"] for event in found] == [
        "wrong_choice", "wrong_choice", "unknown_user", "error", "error", "enrolled",
    ]  # fmt: skip
    assert found[3]["type"] == "NoSpeech"
    assert kept() == {"Ada": 1}


@pytest.mark.usefixtures("folder")
def test_as_json_each_result_is_one_line_and_questions_go_elsewhere() -> None:
    result = talk("0\n\nAda\n1\n\n2\nAda\nq\n", options=("--json",))
    enrolled, identified, removed = events(result)
    expected = {"event": "enrolled", "user": "Ada", "num_recordings_added": 1, "num_recordings": 1}
    assert enrolled == enrolled | expected
    assert (identified["event"], identified["user"], identified["threshold"]) == ("identified", "Ada", 0.9)
    assert identified["score"] == pytest.approx(1.0, abs=1e-6)
    assert removed == {"event": "removed", "user": "Ada"}
    assert "0 enrol, 1 identify, 2 remove, q quit" in result.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("typed", ["", "0\n", "0\n\n", "1\n", "2\n", "0\n\nAda"], ids=range(6))
def test_the_end_of_the_input_leaves_cleanly_at_any_question(typed: str) -> None:
    result = talk(typed)
    assert result.exit_code == 0
    assert result.stdout.endswith("\ngoodbye\n")
    assert kept() == ({"Ada": 1} if typed.endswith("Ada") else {})


@pytest.mark.usefixtures("folder")
def test_ctrl_c_while_recording_leaves_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("speaker_id.inference.microphone.FileMicrophone.record", interrupted)
    result = talk("0\n\nAda\n")
    assert (result.exit_code, result.stdout.endswith("\ngoodbye\n")) == (0, True)
    assert kept() == {}


@pytest.mark.usefixtures("folder")
def test_a_name_full_of_braces_and_escapes_is_data() -> None:
    result = talk("0\n\n{user} \x1b[31m\n1\n\nq\n")
    assert kept() == {"{user} \x1b[31m": 1}
    assert "\x1b" not in result.stdout


def test_what_prevents_a_conversation_is_exit_code_3(folder: Path) -> None:
    SqliteGallery.open("other.db", fingerprint="f" * 64, dim=12).close()
    for options in (("--model", "no-model"), ("--gallery", "other.db"), ("--threshold", "nan")):
        result = talk("q\n", options=options)
        assert result.exit_code == 3, options
        assert result.stderr.startswith("error: ")
    assert talk("q\n", options=("--lang", "fr")).exit_code == 2
    assert files_in(folder) == ["ada.wav", "bob.wav", "other.db", "silence.wav"]


def test_both_languages_say_the_same_things_with_the_same_values() -> None:
    def fields(text: str) -> list[tuple[str | None, str | None]]:
        return sorted((name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None)

    assert set(TEXTS) == set(Language)
    assert TEXTS["en"].keys() == TEXTS["zh"].keys()
    for key, text in TEXTS["en"].items():
        assert fields(text) == fields(TEXTS["zh"][key]), key
        assert text != TEXTS["zh"][key]
    assert all(choice in text["menu"] for text in TEXTS.values() for choice in "012q")


def test_it_says_something_before_torch_is_imported(folder: Path) -> None:
    code = (
        "import sys, typer, speaker_id.cli as cli\n"
        "sys.argv = ['x', 'interactive']\n"
        "said = typer.echo\n"
        "def first(*a, **k): print('torch' in sys.modules); typer.echo = said; said(*a, **k)\n"
        "typer.echo = first\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], input="q\n", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False\nloading the model ")
    assert done.stdout.endswith("goodbye\n")
    assert (folder / "gallery.db").exists()
