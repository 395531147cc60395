"""Every command of the README is run as a newcomer would, on a tiny corpus and with a tiny model."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from forked import run_python
from inference.tiny_model import recording
from leaves import leaves
from speaker_id.pretrained.sources import cache_folder

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(sys.executable).parent

FETCHED = cache_folder(os.environ) / "campplus-zh-en.pt"  # by `make oracles`

# What makes a training tiny; the README's own words stay as they are.
TINY = [
    "model.backbone.channels=16",
    "model.backbone.out_channels=24",
    "model.projection.dim=12",
    "data.batch_size=8",
    "data.crop_seconds=0.6",
    "data.num_workers=0",
    "data.crops_per_speaker=1",
    "scheduler.warmup_epochs=0",
    "callbacks.progress.every_n_batches=100",
]


def commands(readme: str) -> list[str]:
    """The lines of the sh blocks, without comments."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def runnable(command: str) -> list[str]:
    """The words to run: make only says what it would do, trainings become tiny."""
    words = shlex.split(command)
    if words[0] == "make":
        return [*words, "-n", "-C", str(ROOT)]
    if words[:2] == ["speaker-id", "serve"]:
        return [str(SCRIPTS / words[0]), "serve", "--help"]  # it would not end
    if words[:3] == ["python", "-m", "speaker_id.train"]:
        epochs = (
            "trainer.max_epochs=2" if any(word.startswith("ckpt_path") for word in words) else "trainer.max_epochs=1"
        )
        words = [word for word in words if not word.startswith("trainer.max_epochs")]
        return [sys.executable, *words[1:], *TINY, epochs]
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    return [str(SCRIPTS / words[0]), *words[1:]]


def run(words: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    if words[:2] == [sys.executable, "-m"]:
        return run_python(*words[1:], cwd=folder, environment=environment)
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README takes for granted: lists of recordings, and recordings of one's own."""
    folder = tmp_path_factory.mktemp("newcomer")
    pitches = [90, 120, 160, 210, 260, 320]
    for number, name in enumerate(("train.tsv", "other.tsv", "test.tsv")):
        rows = []
        for pitch in pitches:
            for take in range(3):
                place = folder / f"{name[:-4]}-{pitch}-{take}.wav"
                path = recording(place, pitch + 5 * number + take, 0.8 + 0.1 * take)  # no list has another's sound
                rows.append(f"{path.name}\t{name[:-4]} voice {pitch}\n")
        (folder / name).write_text("".join(rows), encoding="utf-8")
    for name in ("a", "b", "ana-1", "ana-2", "somebody"):
        recording(folder / f"{name}.wav", 150)
    return folder


@pytest.mark.slow
def test_every_command_of_the_readme_runs(folder: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands("README.md"):
        if command.startswith("speaker-id") and "--model" not in command and not FETCHED.is_file():
            continue  # a published model that nobody has fetched
        done = run(runnable(command), folder, environment)
        # speaker-id answers "no" with status 1, and calibrating on six speakers is refused: an answer, not a failure.
        allowed = {0, 1} if command.startswith(("speaker-id", "python -m speaker_id.calibrate")) else {0}
        assert done.returncode in allowed, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if not (folder / "runs" / "my-run").is_dir():
        pytest.skip("the commands of the README did not leave a run")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["recognizer"].users() == {}  # type: ignore[attr-defined]


def test_both_readmes_give_the_same_commands_and_sections() -> None:
    assert commands("README.md") == commands("README.zh.md")
    sections = [(ROOT / name).read_text(encoding="utf-8").count("\n## ") for name in ("README.md", "README.zh.md")]
    assert sections[0] == sections[1] > 5


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
@pytest.mark.parametrize(
    "group", ["model", "pooling", "loss", "feature", "vad", "augmentation", "backend", "experiment"]
)
def test_the_readme_names_every_choice_there_is(group: str, name: str) -> None:
    (row,) = re.findall(rf"^\| `{group}`[^|]* \| (.*) \|$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    named = [word for word in re.findall(r"`([^`]+)`", row) if " " not in word]
    assert sorted(named) == leaves(group)


def test_every_make_target_of_the_readme_exists_and_says_what_it_does() -> None:
    described = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for target in (
        "help",
        "install",
        "demo",
        "test",
        "test-all",
        "oracles",
        "peers",
        "lint",
        "type",
        "format",
        "smoke",
        "clean",
    ):
        assert re.search(rf"make {target}\s+\w", described), f"make help says nothing about {target}"
