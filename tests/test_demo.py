"""The demo's own parts; the whole command is the slow test at the end."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from forked import run_python
from inference.tiny_model import recording
from speaker_id import build, demo
from speaker_id.cli import app
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.data.demo_corpus import CorpusSpec
from speaker_id.errors import DataError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.recognizer import Recognizer

COUNTED = {"num_train_voices": 24, "num_test_voices": 4, "num_sentences": 6}


class LoudnessEmbedder:
    """A voice is told by its peak alone, rounded to tenths: perfect on recordings made that way."""

    sample_rate, dim, fingerprint = 16000, 10, "loudness"

    def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
        return self.embed_parts(waveforms)

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        return np.eye(10, dtype=np.float32)[[round(10 * float(np.abs(waveform).max())) for waveform in waveforms]]


@pytest.fixture
def voices(tmp_path: Path) -> dict[str, list[Path]]:
    return {name: [loud(tmp_path / f"{name}{n}.wav", 0.2 * k) for n in range(6)] for k, name in enumerate("abcd", 1)}


def loud(path: Path, peak: float) -> Path:
    import soundfile

    recording(path, 120)
    waveform, rate = soundfile.read(path)
    soundfile.write(path, waveform * (peak / np.abs(waveform).max()), rate, subtype="FLOAT")
    return path


def tell(voices: dict[str, list[Path]], gallery: Path, threshold: float) -> list[str]:
    output, embedder = io.StringIO(), LoudnessEmbedder()
    with Recognizer(
        embedder,
        gallery=SqliteGallery.open(gallery, fingerprint=embedder.fingerprint, dim=embedder.dim),
        operating_point=OperatingPoint(threshold, "chosen for the test"),
    ) as recognizer:
        demo.try_recognizer(Console(file=output, width=200), recognizer, voices)
    return output.getvalue().splitlines()


def test_the_walk_through_tells_what_a_perfect_model_does(voices: dict[str, list[Path]], tmp_path: Path) -> None:
    assert tell(voices, tmp_path / "gallery.db", 0.5) == [
        "compare two recordings of one voice: the same speaker (score 1.000 >= threshold 0.500)",
        "compare recordings of two voices: not accepted as the same speaker (score 0.000 < threshold 0.500)",
        "enrol Ada: 5 recordings of voice a",
        "enrol Ben: 5 recordings of voice b",
        "enrol Chen: 5 recordings of voice c",
        "identify a new recording of Ada: Ada (best score 1.000)",
        "identify a stranger: nobody (best score 0.000)",
        "remove Ada: Ben and Chen are left",
        "identify Ada again: nobody (best score 0.000)",
    ]


def test_the_walk_through_admits_mistakes(voices: dict[str, list[Path]], tmp_path: Path) -> None:
    _, two_voices, *_, stranger, _, again = tell(voices, tmp_path / "gallery.db", -1.0)
    assert two_voices.endswith("the same speaker (score 0.000 >= threshold -1.000) - a mistake")
    assert stranger == "identify a stranger: Ada (best score 0.000) - a mistake, nobody is right"
    assert again == "identify Ada again: Ben (best score 0.000) - a mistake, nobody is right"


def test_recordings_are_grouped_by_voice_in_the_order_of_the_list(tmp_path: Path) -> None:
    for name in ("1.wav", "2.wav", "3.wav"):
        (tmp_path / name).touch()
    (tmp_path / "test.tsv").write_text("2.wav\tzoe\n1.wav\tabe\n3.wav\tzoe\n")
    grouped = demo.recordings_by_voice(tmp_path / "test.tsv")
    assert list(grouped) == ["zoe", "abe"]
    assert [path.name for path in grouped["zoe"]] == ["2.wav", "3.wav"]


@given(st.text("abc /'\"\\=,[](){}$:é *", min_size=1))
def test_hydra_reads_back_every_path_that_an_override_gives(name: str) -> None:
    path = Path("/demo") / name.strip("/ ")
    (parsed,) = OverridesParser.create().parse_overrides([demo.override("data.train_list", path)])
    assert parsed.value() == str(path)


def test_a_failing_step_is_named_and_its_exit_status_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        demo.run_module(Console(), "training", "json.tool", ["no-such-file.json"])
    assert stop.value.code == 2
    assert capfd.readouterr().err.endswith(
        "error: the demo stopped because training failed (exit status 2); its message is above\n"
    )


def test_what_a_step_says_goes_where_the_demos_own_words_go(capfd: pytest.CaptureFixture[str]) -> None:
    demo.run_module(Console(stderr=True), "printing", "this", [])
    said = capfd.readouterr()
    assert said.out == ""
    assert "The Zen of Python" in said.err


def test_as_json_a_demo_is_one_object_on_stdout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left = demo.DemoResult(tmp_path / "run", tmp_path / "evaluation", tmp_path / "gallery.db", 276, 0.125, 3.5)
    asked = {}

    def run_demo(folder: Path, **options: object) -> demo.DemoResult:
        asked.update(options)
        return left

    monkeypatch.setattr(demo, "run_demo", run_demo)
    answer = CliRunner().invoke(app, ["demo", "--json", "--folder", str(tmp_path)])
    assert json.loads(answer.stdout) == {
        "model": str(tmp_path / "run"), "evaluation": str(tmp_path / "evaluation"),
        "gallery": str(tmp_path / "gallery.db"), "num_trials": 276, "eer": 0.125, "seconds": 3.5,
    }  # fmt: skip
    assert asked["words_to_stderr"] is True
    assert CliRunner().invoke(app, ["demo", "--folder", str(tmp_path)]).stdout == ""


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="not of the demo"):
        demo.run_demo(tmp_path, epochs=1)
    assert (tmp_path / "run").is_dir()


def test_the_commands_to_try_next_are_commands_of_the_command_line() -> None:
    group = typer.main.get_command(app)
    for name, *arguments in demo.next_commands(Path("my demo")):
        command = group.get_command(typer.Context(group), name)  # type: ignore[attr-defined]
        assert command.make_context(name, arguments).params["model"] == "my demo/run"


def test_the_recipe_composes_and_is_small() -> None:
    config = build.compose("train", ["experiment=demo", "data.train_list=train.tsv"])
    model = build.embedding_model(config.model, config.pooling, 80)
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    assert config.name == "demo"


def run_forked(command: list[str], check: bool, stdout: int | None) -> subprocess.CompletedProcess[str]:
    assert not check
    assert command[0] == sys.executable
    done = run_python(*command[1:], cwd=Path.cwd(), environment=os.environ)
    print(done.stdout, file=sys.stdout if stdout is None else sys.stderr)
    print(done.stderr, file=sys.stderr)
    return done


@pytest.mark.slow
def test_the_whole_demo_in_miniature(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's a demo"
    monkeypatch.setattr(demo, "subprocess", SimpleNamespace(run=run_forked))
    result = demo.run_demo(folder, epochs=1, spec=CorpusSpec(**COUNTED))
    assert result.num_trials == 24 * 23 // 2
    assert result.gallery.exists()
    output = capfd.readouterr().out
    assert json.loads((folder / "evaluation" / "metrics.json").read_text())["num_trials"] == 24 * 23 // 2
    assert (folder / "evaluation" / "det.png").is_file()
    with SqliteGallery.open(folder / "gallery.db") as gallery:
        assert gallery.users() == {"Ben": 5, "Chen": 5}
    assert "identify a stranger: " in output
    assert f"--model '{folder}/run'".replace("it's", "it'\"'\"'s") in output
