"""Mistyped commands: one line that names what exists, nothing started, nothing written."""

from pathlib import Path

import pytest

from commands.running import Corpus, run_here

MISTAKES = {
    "model=ecapaa": "model=ecapaa does not exist; did you mean 'ecapa'? there are: campplus, dvector, ecapa, ",
    "data.btch_size=3": "data.btch_size does not exist; did you mean 'batch_size'? there are: train_list, ",
    "data.train_lst=x": "data.train_lst does not exist; did you mean 'train_list'? there are: train_list, ",
    "data.batch_size=many": "data.batch_size=many: needs a number, it is 64 unless given",
    "data.speeds=[1": "cannot understand data.speeds=[1 (",
}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return tmp_path / "empty"


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "multirun"])
def test_a_mistyped_option_starts_nothing(mistake: str, mode: list[str], corpus: Corpus, empty: Path) -> None:
    finished = run_here("train", *mode, *corpus.lists, mistake)
    assert finished.status == 2
    assert finished.out.startswith(f"error: {MISTAKES[mistake]}")
    assert "Traceback" not in finished.out
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "key"), [("train", "data.train_list"), ("eval", "checkpoint")], ids=["train", "eval"]
)
def test_what_must_be_given_is_asked_for(module: str, key: str, empty: Path) -> None:
    finished = run_here(module)
    assert (finished.status, finished.out) == (2, f"error: {key} is missing; give {key}=VALUE\n")
    assert list(empty.iterdir()) == []


def test_an_evaluation_without_anything_to_evaluate_says_what_to_give(empty: Path, two_epochs: Path) -> None:
    finished = run_here("eval", f"checkpoint={two_epochs}")
    assert finished.status == 1
    assert finished.out.count("\n") == 1
    assert "give data.test_list=FILE for all pairs of a list, or trials=FILE for listed trials" in finished.out


@pytest.mark.parametrize("module", ["train", "eval", "calibrate", "extract"])
def test_help_begins_with_how_it_is_called(module: str, empty: Path) -> None:
    finished = run_here(module, "--help")
    assert finished.status == 0
    assert finished.out.startswith(f"python -m speaker_id.{module} [GROUP=CHOICE ...] [KEY=VALUE ...]\n")
    assert "???" in finished.out
