"""One command, several runs; and one run, several processes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import yaml

from commands.running import QUICK, Corpus, Finished, metrics_of, run_forked, run_here, tiny
from inference.tiny_model import RATE, voice
from speaker_id import train

pytestmark = pytest.mark.slow

SMALL = ["model.backbone.channels=16", "model.backbone.out_channels=24", "model.projection.dim=12", *QUICK]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
METRICS = ("val/eer", "val/tpr", "val/fpr", "val/threshold", "val/min_dcf")


def config_of(folder: Path) -> dict[str, dict[str, str]]:
    config: dict[str, dict[str, str]] = yaml.safe_load((folder / "config.yaml").read_text())
    return config


def test_a_sweep_over_two_models_makes_two_runs(corpus: Corpus, tmp_path: Path) -> None:
    finished = run_here("train", "-m", "model=ecapa,xvector", *corpus.lists, *SMALL, f"hydra.sweep.dir={tmp_path}")
    assert finished.status == 0, finished.out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["0", "1"]
    assert [config_of(tmp_path / job)["name"] for job in ("0", "1")] == ["ecapa", "xvector"]
    assert all((tmp_path / job / "checkpoints" / "best.ckpt").is_file() for job in ("0", "1"))


@pytest.fixture(scope="module")
def same_batches(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A training that leaves the same model whatever the ranks draw: every crop is the same, and nothing is learnt.

    Seven validation batches of one recording each: two ranks cannot share them evenly.
    """
    folder = tmp_path_factory.mktemp("same")
    for number in range(16):
        soundfile.write(folder / f"{number}.wav", voice(120, 0.5), RATE)
    (folder / "train.tsv").write_text("".join(f"{number}.wav\t{number % 2}\n" for number in range(16)))
    still = ["optimizer.lr=0", "+trainer.limit_train_batches=1", "data.eval_batch_seconds=1"]
    return [f"data.train_list={folder}/train.tsv", f"data.val_list={corpus.val}", *tiny(), *still]


@pytest.fixture(scope="module")
def two_losses_on_two_processes(
    same_batches: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Finished]:
    folder = tmp_path_factory.mktemp("ddp")
    arguments = [*same_batches, *DDP, f"hydra.sweep.dir={folder}/sweep"]
    return folder, run_forked("train", "-m", "loss=am,aam", *arguments, cwd=folder)


def test_a_sweep_of_ddp_runs_makes_one_folder_a_job(two_losses_on_two_processes: tuple[Path, Finished]) -> None:
    folder, finished = two_losses_on_two_processes
    assert finished.status == 0, finished.out + finished.err
    assert [path.name for path in folder.iterdir()] == ["sweep"]
    assert sorted(path.name for path in (folder / "sweep").iterdir() if path.is_dir()) == ["0", "1"]
    losses = [config_of(folder / "sweep" / job)["loss"]["_target_"].rpartition(".")[2] for job in ("0", "1")]
    assert losses == ["AdditiveMargin", "AdditiveAngularMargin"]


def test_only_one_of_two_processes_speaks(two_losses_on_two_processes: tuple[Path, Finished]) -> None:
    _, finished = two_losses_on_two_processes
    assert finished.out.count("epoch 1/1, validation: ") == 2  # one a job
    assert finished.out.count("training: 16 utterances") == 2
    assert finished.err == ""


def test_two_processes_measure_what_one_measures(
    same_batches: list[str], two_losses_on_two_processes: tuple[Path, Finished], tmp_path: Path
) -> None:
    finished = run_here("train", "loss=am", *same_batches, f"hydra.run.dir={tmp_path}/one")
    assert finished.status == 0, finished.out
    one, two = metrics_of(tmp_path / "one"), metrics_of(two_losses_on_two_processes[0] / "sweep" / "0")
    assert [two[name] for name in METRICS] == pytest.approx([one[name] for name in METRICS], abs=1e-6)
    assert 0 < one["val/eer"] < 1  # a measurement that could have come out otherwise


def test_a_job_that_fails_in_its_own_process_is_one_message(
    same_batches: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=3))
    finished = run_here("train", "-m", "seed=1,2", *same_batches, *DDP, f"hydra.sweep.dir={tmp_path}")
    assert finished.status == 1
    assert finished.out.count(" ERROR ") == 1
    assert "ended with exit status 3" in finished.out
