"""The tutorial is followed from its first command to its last, with synthetic voices and a small model."""

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from commands.running import run_here, tiny
from inference.tiny_model import recording
from leaves import composed
from service.running import running
from speaker_id import build, checkpoint
from speaker_id.cli import app
from speaker_id.pretrained import catalogue

ROOT = Path(__file__).parents[2]
PAGE, CHINESE = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("tutorial.md", "tutorial.zh.md"))
NAMES = ["ana", "ben", "王芳", *(f"person {number:02d}" for number in range(30))]
SMALL = [
    "trainer.max_epochs=1",
    "data.passes=1",
    "data.batch_size=8",
    "data.crop_seconds=0.5",
    "data.num_workers=0",
    "scheduler.warmup_epochs=0",
]
SMALL_ECAPA = ["model.backbone.channels=16", "model.backbone.out_channels=24", "model.projection.dim=12"]
SMALL_CAMPPLUS = [option for option in tiny("campplus") if option.startswith("model.backbone")]
ANSWERS = {0, 1}  # yes and no


class Done(NamedTuple):
    command: str
    status: int
    said: str


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tutorial's reader has: a folder of recordings."""
    folder = tmp_path_factory.mktemp("reader")
    for number, name in enumerate(NAMES):
        (folder / "voices" / name).mkdir(parents=True)
        for take in range(3 if number < 3 else 2):
            recording(folder / "voices" / name / f"{take + 1}.wav", 80 * 1.05**number + take, 0.8 + 0.1 * take)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Iterator[list[Done]]:
    """All commands of the page, run one after the other."""
    with pytest.MonkeyPatch.context() as patch, running(folder / "served") as client:
        patch.chdir(folder)
        patch.setenv("SPEAKER_ID_CACHE", str(folder / "cache"))
        patch.setattr("speaker_id.service.run.serve", lambda settings, **options: None)  # it would not end
        fetch(catalogue.folder_of("campplus-zh-en"))
        yield [run(command, client) for command in commands(PAGE)]


def fetch(bundle: Path) -> None:
    """A model of the published one's kind, as if it had been fetched."""
    config = composed("model=campplus", *SMALL_CAMPPLUS, "model.projection.dim=192", "feature.window=povey")
    groups = {group: build.plain(config[group]) for group in ("feature", "model", "pooling")}
    feature = build.feature(groups["feature"])
    model = build.embedding_model(groups["model"], groups["pooling"], int(feature.out_dim)).eval()
    point = catalogue.operating_point(bundle.name)
    checkpoint.save_bundle(checkpoint.LoadedModel(feature, model, point, groups, [], ""), bundle)
    (bundle / catalogue.ABOUT).write_text("as if fetched")


def run(command: str, client: TestClient) -> Done:
    words = shlex.split(command)
    if words[0] == "curl":
        return Done(command, *ask(words[1:], client))
    if words[0] == "speaker-id":
        result = CliRunner().invoke(app, words[1:])
        return Done(command, result.exit_code, result.output + repr(result.exception or ""))
    if words[1].startswith("scripts/"):
        with mock.patch.object(sys, "argv", words[1:]):
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        return Done(command, 0, "")
    module = words[2].removeprefix("speaker_id.")
    small = [*SMALL, *(SMALL_CAMPPLUS if "model=campplus" in words else SMALL_ECAPA)] if module == "train" else []
    finished = run_here(module, *words[3:], *small)
    return Done(command, finished.status, finished.out)


def ask(words: list[str], client: TestClient) -> tuple[int, str]:
    """What curl would send; status 0 for an answer that is no error."""
    method, address, files, form = "", "", [], {}
    for option, value in zip(["", *words], words, strict=False):
        if option == "-X":
            method = value
        elif option == "-F":
            name, _, content = value.partition("=")
            if content.startswith("@"):
                files.append((name, Path(content[1:]).read_bytes()))
            else:
                form[name] = content
        elif value.startswith("http"):
            address = value.removeprefix("http://127.0.0.1:8000")
    sent: dict[str, Any] = {"files": files, "data": form} if files else {}
    answer = client.request(method or "POST", address, **sent)
    return int(answer.is_error), answer.text


@pytest.mark.slow
def test_every_command_runs_and_none_is_an_error(done: list[Done]) -> None:
    assert len(done) > 20
    for command, status, said in done:
        answers = command.startswith("speaker-id") or "calibrate checkpoint=runs" in command
        assert status in (ANSWERS if answers else {0}), f"{command}\n{said}"
        assert "Traceback" not in said, f"{command}\n{said}"


@pytest.mark.slow
def test_they_leave_behind_what_the_page_says(done: list[Done], folder: Path) -> None:
    assert (folder / "runs" / "published" / "report.html").is_file()
    point = checkpoint.load(folder / "cache" / "models" / "campplus-zh-en").operating_point
    assert point is not None
    assert point.target_fpr == 0.1
    said = {command: text for command, _, text in done}
    assert "ana" not in said["speaker-id users"].split("person")[-1]
    assert "王芳" in said["speaker-id users"]
    refused = next(text for command, text in said.items() if "calibrate checkpoint=runs/mine" in command)
    assert "too few speakers to promise 10 % false accepts" in refused


@pytest.mark.slow
def test_the_pages_python_runs(done: list[Done], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SPEAKER_ID_CACHE", str(folder / "cache"))
        (code,) = blocks(PAGE, "python")
        exec(code, {})
    assert capsys.readouterr().out.strip()


def test_both_languages_have_the_same_commands_code_and_sections() -> None:
    for language in ("sh", "console", "python"):
        assert blocks(PAGE, language) == blocks(CHINESE, language)
    assert [re.findall(r"^## (\d)", page, re.MULTILINE) for page in (PAGE, CHINESE)] == [list("123456789")] * 2


def test_the_numbers_of_people_are_those_that_calibrating_asks_for() -> None:
    from speaker_id import calibration
    from speaker_id.evaluation.calibration import speakers_for

    for page in (PAGE, CHINESE):
        rows = re.findall(r"^\| ([\d.]+) % \| (\d+) \|$", page, re.MULTILINE)
        assert len(rows) == 3
        for rate, people in rows:
            assert speakers_for(calibration.supported_fpr(0, float(rate) / 100).required) == int(people)
