import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

import speaker_id
from inference.tiny_model import POINT, RATE, recording, tiny_bundle
from speaker_id.cli import app
from speaker_id.inference.gallery import SqliteGallery

COMMANDS = ["compare", "enrol", "identify", "remove", "users", "demo"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with three recordings; the model is given by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(bundle))
    recording(tmp_path / "ada.wav", 90)
    recording(tmp_path / "ada-2.wav", 91)
    recording(tmp_path / "bob.wav", 260)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compare_answers_in_words_and_by_exit_code(folder: Path) -> None:
    same = run("compare", folder / "ada.wav", folder / "ada.wav")
    assert same.exit_code == 0
    assert same.stdout == f"same speaker: score 1.0000 >= threshold 0.9000 ({POINT.source})\n"
    different = run("compare", folder / "ada.wav", folder / "bob.wav", "--threshold", "0.99999")
    assert different.exit_code == 1
    assert different.stdout.startswith("different speakers: score ")
    assert different.stdout.endswith("< threshold 1.0000 (given when the recognizer was loaded)\n")


def test_compare_as_json_carries_the_same_answer(folder: Path) -> None:
    result = run("compare", folder / "ada.wav", folder / "ada.wav", "--json", "--threshold", "0")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer.pop("score") == pytest.approx(1.0, abs=1e-6)
    assert answer == {
        "threshold": 0.0,
        "accepted": True,
        "threshold_source": "given when the recognizer was loaded",
    }


@pytest.mark.usefixtures("folder")
def test_a_user_is_enrolled_identified_listed_and_removed() -> None:
    assert run("enrol", "Ada", "ada.wav", "ada-2.wav").stdout == "enrolled Ada: 2 added, 2 kept in gallery.db\n"
    assert run("enrol", "Bob", "bob.wav").exit_code == 0
    found = run("identify", "ada.wav")
    assert found.exit_code == 0
    first, *candidates = found.stdout.splitlines()
    assert first == f"Ada: accepted (threshold 0.9000: {POINT.source})"
    assert [line.split()[1] for line in candidates] == ["Ada", "Bob"]
    assert run("users").stdout == "     2  Ada\n     1  Bob\n"
    assert run("remove", "Ada").stdout == "removed Ada\n"
    assert run("users").stdout == "     1  Bob\n"
    again = run("remove", "Ada")
    assert (again.exit_code, again.stdout) == (1, "nobody called Ada is enrolled in gallery.db\n")


def test_json_answers_of_the_gallery_commands(folder: Path) -> None:
    enrolled = run("enrol", "Ada", "ada.wav", "--json", "--gallery", "voices.db")
    assert json.loads(enrolled.stdout) == {"user": "Ada", "num_recordings_added": 1, "num_recordings": 1}
    found = run("identify", "ada.wav", "--json", "--gallery", "voices.db")
    answer = json.loads(found.stdout)
    score = answer["score"]
    assert score == pytest.approx(1.0, abs=1e-6)
    assert answer == {
        "user": "Ada",
        "score": score,
        "threshold": 0.9,
        "margin": None,
        "candidates": [{"user": "Ada", "score": score}],
        "reason": "accepted",
        "threshold_source": POINT.source,
    }
    assert json.loads(run("users", "--json", "--gallery", "voices.db").stdout) == {"users": {"Ada": 1}}
    removed = run("remove", "Ada", "--json", "--gallery", "voices.db")
    assert json.loads(removed.stdout) == {"user": "Ada", "removed": True}
    assert json.loads(run("users", "--json", "--gallery", "voices.db").stdout) == {"users": {}}
    assert run("users", "--gallery", "voices.db").stdout == "nobody is enrolled in voices.db\n"
    assert not (folder / "gallery.db").exists()


@pytest.mark.usefixtures("folder")
def test_nobody_is_exit_code_1() -> None:
    run("enrol", "Ada", "ada.wav")
    stranger = run("identify", "bob.wav", "--threshold", "0.9999999")
    assert stranger.exit_code == 1
    assert stranger.stdout.startswith("nobody: best score ")
    run("remove", "Ada")
    empty = run("identify", "bob.wav", "--json")
    assert empty.exit_code == 1
    assert json.loads(empty.stdout)["reason"] == "nobody is enrolled"


def test_the_gallery_can_be_given_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEAKER_ID_GALLERY", str(folder / "elsewhere.db"))
    run("enrol", "Ada", "ada.wav")
    with SqliteGallery.open(folder / "elsewhere.db") as gallery:
        assert gallery.users() == {"Ada": 1}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["../../x", "👩‍🚀", "two\nlines", "\x1b[31mred", " ", "n" * 100_000], ids=range(6))
def test_names_of_any_kind_are_shown_on_one_line_and_kept_exactly(name: str) -> None:
    enrolled = run("enrol", name, "ada.wav")
    assert enrolled.exit_code == 0
    listing = run("users").stdout
    assert listing.count("\n") == 1
    assert len(listing) < 100
    assert "\x1b" not in listing
    assert json.loads(run("users", "--json").stdout) == {"users": {name: 1}}
    assert run("remove", name).exit_code == 0


def test_an_error_of_ours_is_one_line_and_exit_code_3(folder: Path) -> None:
    soundfile.write(folder / "short.wav", np.ones(100, np.float32), RATE)
    for arguments, part in [
        (("compare", "ada.wav", "missing.wav"), "missing.wav"),
        (("compare", "ada.wav", "short.wav"), "short.wav is 0.006 s long"),
        (("identify", "ada.wav"), "there is no gallery"),
        (("users",), "there is no gallery"),
        (("remove", "Ada"), "there is no gallery"),
        (("enrol", "", "ada.wav"), "needs a name"),
        (("compare", "ada.wav", "bob.wav", "--model", "no-model"), "no-model"),
        (("compare", "ada.wav", "bob.wav", "--threshold", "nan"), "must be a number"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 3, arguments
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert part in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_an_error_as_json_goes_to_stdout() -> None:
    result = run("compare", "ada.wav", "missing.wav", "--json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert answer["type"] == "AudioError"
    assert "missing.wav" in answer["error"]
    assert set(answer) == {"error", "type"}


def test_asking_creates_no_gallery(folder: Path) -> None:
    run("identify", "ada.wav")
    run("users")
    assert not list(folder.glob("*.db*"))


@pytest.mark.usefixtures("folder")
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    run("enrol", "Ada", "ada.wav")
    monkeypatch.setattr(SqliteGallery, "users", broken)
    assert isinstance(run("users").exception, ZeroDivisionError)


@pytest.mark.usefixtures("folder")
def test_wrong_usage_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("compare", "ada.wav").exit_code == 2
    assert run("enrol", "Ada").exit_code == 2
    assert run("identify", "ada.wav", "--limit", "0").exit_code == 2
    assert run("unheard-of").exit_code == 2
    monkeypatch.delenv("SPEAKER_ID_MODEL")
    missing = run("compare", "ada.wav", "bob.wav")
    assert missing.exit_code == 2
    assert "SPEAKER_ID_MODEL" in missing.stderr


@pytest.mark.usefixtures("folder")
def test_a_name_may_begin_with_a_dash() -> None:
    assert run("enrol", "--", "--json", "ada.wav").exit_code == 0
    assert run("users").stdout == "     1  --json\n"


def test_every_help_fits_a_terminal_and_shows_an_example() -> None:
    for arguments in ([], *([command] for command in COMMANDS)):
        result = run(*arguments, "--help")
        assert result.exit_code == 0
        assert "Example:" in result.stdout
        assert max(len(line) for line in result.stdout.splitlines()) <= 80
    overview = run("--help").stdout
    assert all(f"\n  {command} " in overview for command in COMMANDS)
    assert not [line for line in overview.split("Commands:")[1].splitlines() if line.endswith("...")]
    assert "Exit codes:" in overview


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"speaker-id {speaker_id.__version__}\n"


@pytest.mark.usefixtures("folder")
def test_the_module_is_the_command_and_needs_no_torch_to_list_users() -> None:
    run("enrol", "Ada", "ada.wav")
    code = (
        "import sys, runpy; sys.argv = ['x', 'users']\n"
        "try: runpy.run_module('speaker_id', run_name='__main__')\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "     1  Ada\nFalse\n"
    command = [sys.executable, "-m", "speaker_id"]
    done = subprocess.run([*command, "remove", "Bob"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    done = subprocess.run([*command, "users", "--gallery", "no"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: there is no gallery at ")
