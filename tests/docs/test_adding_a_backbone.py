"""docs/adding-a-backbone.md is followed to the letter, in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forked import run_python
from inference.tiny_model import recording

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-backbone.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
TINY_RUN = [
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.crop_seconds=0.5",
    "data.batch_size=4",
    "data.num_workers=0",
    "scheduler.warmup_epochs=0",
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a newcomer has it, the page's two files added, and a train.tsv of four voices."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("src", "conf", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    if (ROOT / ".mypy_cache").is_dir():  # by `make type`: what mypy knows of torch, which takes it 20 s to learn
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    for name, text in FILES:
        assert not (folder / name).exists(), f"the page's example {name} exists already"
        (folder / name).write_text(text, encoding="utf-8")
    rows = []
    for pitch in (90, 130, 180, 240):
        for take in range(3):
            path = recording(folder / f"{pitch}-{take}.wav", pitch + take, 0.8 + 0.1 * take)
            rows.append(f"{path.name}\tvoice {pitch}\n")
    (folder / "train.tsv").write_text("".join(rows), encoding="utf-8")
    return folder


def test_the_page_adds_one_module_and_one_leaf() -> None:
    assert [name for name, _ in FILES] == ["src/speaker_id/model/gated.py", "conf/model/gated.yaml"]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_runs(command: str, checkout: Path) -> None:
    done = run(command, checkout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    if "pytest" in command:
        assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15, done.stdout  # type: ignore[index]
    else:
        assert "everything lies in" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_pages_module_is_in_our_style(checkout: Path) -> None:
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict"]):
        done = run(shlex.join(["python", "-m", *tool, "src/speaker_id/model/gated.py"]), checkout)
        assert done.returncode == 0, done.stdout + done.stderr


def run(command: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "python"
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    if "speaker_id.train" in words:
        return run_python(*words[1:], *TINY_RUN, cwd=checkout, environment=environment)
    words[0] = sys.executable  # pytest and the tools of style come before what they look at
    return subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
