"""What a shell offers when Tab is pressed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import run
from speaker_id.pretrained.catalogue import MODELS


def offered(folder: Path, *words: str) -> list[str]:
    """What bash would offer in place of the last word."""
    line = " ".join(["speaker-id", *words])
    environment = {
        **os.environ,
        "_SPEAKER_ID_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from speaker_id.cli import main; main()"],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_commands_options_and_choices_are_completed(tmp_path: Path) -> None:
    assert offered(tmp_path, "iden") == ["identify"]
    assert {"--gallery", "--gallery-key"} <= set(offered(tmp_path, "users", "--gal"))
    assert offered(tmp_path, "interactive", "--lang", "") == ["en", "zh"]
    assert offered(tmp_path, "keys", "add", "door", "") == ["verify", "enrol", "admin"]
    assert offered(tmp_path, "compare", "--device", "c") == ["cpu", "cuda"]


@pytest.mark.parametrize("words", [("pretrained", "get", ""), ("compare", "--model", ""), ("serve", "--model", "")])
def test_pretrained_models_are_completed_by_name(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert offered(tmp_path, *words) == list(MODELS)


def test_the_holders_of_keys_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered(tmp_path, "keys", "remove", "") == []
    run("keys", "add", "front-door", "verify")
    run("keys", "add", "reception", "enrol")
    assert offered(tmp_path, "keys", "remove", "") == ["front-door", "reception"]
    assert offered(tmp_path, "keys", "remove", "re") == ["reception"]
    run("keys", "add", "attic", "enrol", "--file", "other.json")
    assert offered(tmp_path, "keys", "remove", "--file", "other.json", "") == ["attic"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(tmp_path: Path, shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "speaker_id", "--show-completion", shell],
        cwd=tmp_path, env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_SPEAKER_ID_COMPLETE" in done.stdout
