"""Commands that need no model answer without importing what takes seconds, and so do mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import run

DEAR = {"torch", "torchaudio", "pytorch_lightning", "lightning", "scipy", "librosa", "sklearn", "hydra", "matplotlib"}
PROGRAM = """
import contextlib, io, json, sys
from speaker_id.cli import main
known, answers = set(), []
for command in json.loads(sys.argv[1]):
    sys.argv = ["speaker-id", *command]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    new = {name.partition(".")[0] for name in sys.modules} - known
    known |= new
    answers.append((code, sorted(new)))
print(json.dumps(answers))
"""

COMMANDS = [
    (["--help"], 0), (["--version"], 0), (["unheard-of"], 2), (["enrol", "--help"], 0), (["serve", "--help"], 0),
    (["users"], 0), (["users", "--details", "--json"], 0), (["users", "--gallery", "none.db"], 3), (["remove", "x"], 1),
    (["export-gallery", "out.safetensors"], 0), (["import", "no-folder"], 3), (["import", "empty"], 3),
    (["keys", "list"], 3), (["keys", "add", "door", "verify"], 0), (["keys", "remove", "x"], 3),
    (["pretrained", "list"], 0), (["pretrained", "get", "unheard-of"], 3),
    (["compare", "a.wav", "b.wav"], 3), (["enrol", "x", "a.wav"], 3), (["identify", "a.wav"], 3),
    (["compare", "ada.wav", "bob.wav", "--model", "no-model"], 3), (["serve", "--model", "no-model"], 3),
    (["identify", "ada.wav", "--gallery", "none.db"], 3), (["record", "missing/x.wav"], 3),
    (["interactive", "--model", "no-model"], 3), (["compare", "ada.wav", "bob.wav", "--prior", "7"], 3),
    (["demo", "--help"], 0), (["gallery", "log"], 0), (["gallery", "restore", "x"], 1),
    (["identify", "ada.wav", "--min-margin", "7"], 3), (["compare", "ada.wav", "bob.wav", "--quality", "x=1"], 3),
    (["serve", "--grace", "soon"], 3),
]  # fmt: skip


@pytest.fixture
def answered(desk: Path) -> Path:
    run("enrol", "Ada", "ada.wav")
    (desk / "empty").mkdir()
    return desk


def test_nothing_dear_is_imported_before_an_answer_that_needs_no_model(answered: Path) -> None:
    """All in one process, each with what it imported first: a process for each would take a minute."""
    program = [sys.executable, "-c", PROGRAM, json.dumps([command for command, _ in COMMANDS])]
    done = subprocess.run(program, cwd=answered, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    assert "typer" in answers[0][1]
    assert [code for code, _ in answers] == [code for _, code in COMMANDS]
    found = {" ".join(command): DEAR & set(new) for (command, _), (_, new) in zip(COMMANDS, answers, strict=True)}
    assert not {command: names for command, names in found.items() if names}


def test_a_bug_ends_with_its_traceback_and_not_with_the_exit_code_that_says_no(answered: Path) -> None:
    broken = "from speaker_id.inference.gallery import SqliteGallery; SqliteGallery.users = lambda *_: 1 / 0\n"
    program = "import sys; from speaker_id.cli import main; sys.argv = ['speaker-id', 'users']; main()"
    command = [sys.executable, "-c", broken + program]
    done = subprocess.run(command, cwd=answered, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


def test_what_a_terminal_cannot_show_is_shown_in_other_letters(answered: Path) -> None:
    run("enrol", "名字", "bob.wav")
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1:strict"}
    command = [sys.executable, "-m", "speaker_id", "users"]
    done = subprocess.run(command, cwd=answered, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"     1  Ada\n     1  \\u540d\\u5b57\n")
