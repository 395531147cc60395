"""What a training command says and leaves behind."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from commands.running import Corpus, Finished, metrics_of, run_apart, run_here, tiny
from speaker_id import checkpoint
from speaker_id.data.fingerprint import overlap, sound_keys
from speaker_id.data.lists import read_list

METRICS = {"val/eer", "val/tpr", "val/fpr", "val/threshold", "val/min_dcf"}
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO "
BATCH = (
    r"epoch {epoch}/2, batch 2/2, loss \d+\.\d{{4}}, accuracy [01]\.\d{{4}}, learning rate \d\.\d{{3}}e-\d\d, "
    r"\d+\.\d utterances/s \(\d+ % waiting for data\), \d:\d\d:\d\d left"
)
VALIDATION = (
    r"epoch {epoch}/2, validation: EER \d+\.\d\d %, tpr \d+\.\d\d %, fpr \d+\.\d\d % at threshold -?\d\.\d{{4}}, "
    r"minDCF \d\.\d{{4}}, took \d:\d\d:\d\d"
)


class Run(NamedTuple):
    folder: Path
    finished: Finished


@pytest.fixture(scope="module")
def issue(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The command that the project was asked for, as a process of its own."""
    folder = tmp_path_factory.mktemp("issue")
    groups = ["model=ecapa", "pooling=attentive_statistics", "loss=aam", "feature=mfcc", "augmentation=noise"]
    small = [*tiny()[1:], "trainer.max_epochs=2", "trainer.log_every_n_steps=1"]
    finished = run_apart("train", *groups, *corpus.lists, *small, f"hydra.run.dir={folder}/run", cwd=folder)
    return Run(folder / "run", finished)


def csv_rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "csv" / "metrics.csv").read_text().splitlines()))


@pytest.mark.slow
class TestTheWholeCommand:
    def test_it_says_these_lines_and_nothing_else(self, issue: Run) -> None:
        assert issue.finished.err == ""
        assert issue.finished.status == 0
        expected = [
            r"embedding model: 0\.\d\d M parameters",
            r"training: 16 utterances of 4 speakers, 4 classes; validation: 7 utterances of 2 speakers",
            r"augmentation: AddNoise \(prob 0\.6, min_snr_db 0, max_snr_db 20, max_layers 2, sample_rate 16000, .*\)",
            *(line.format(epoch=epoch) for epoch in (1, 2) for line in (BATCH, VALIDATION)),
            r"best validation EER \d+\.\d\d %; everything lies in " + re.escape(str(issue.folder)),
        ]
        lines = issue.finished.out.splitlines()
        assert len(lines) == len(expected), issue.finished.out
        for line, pattern in zip(lines, expected, strict=True):
            assert re.fullmatch(STAMP + pattern, line), line

    def test_the_log_file_holds_the_same_lines(self, issue: Run) -> None:
        assert (issue.folder / "train.log").read_text() == issue.finished.out

    def test_the_checkpoints_are_there_and_load(self, issue: Run) -> None:
        names = {"best.ckpt", "last.ckpt", "epoch_000.ckpt", "epoch_001.ckpt"}
        assert {path.name for path in (issue.folder / "checkpoints").iterdir()} == names
        loaded = checkpoint.load(issue.folder)
        assert loaded.speakers == ["ada", "ben", "cho", "dov"]
        assert loaded.operating_point is not None

    def test_metrics_json_holds_the_last_validation_and_the_best(self, issue: Run) -> None:
        found = metrics_of(issue.folder)
        assert found.keys() >= METRICS | {"best_val_eer", "train/loss", "train/accuracy"}
        rows = csv_rows(issue.folder)
        eers = [float(row["val/eer"]) for row in rows if row["val/eer"]]
        assert len(eers) == 2
        assert found["val/eer"] == pytest.approx(eers[-1])
        assert found["best_val_eer"] == pytest.approx(min(eers))

    def test_the_csv_log_holds_loss_rate_and_metrics(self, issue: Run) -> None:
        rows = csv_rows(issue.folder)
        assert rows[0].keys() >= METRICS | {"epoch", "step", "train/loss", "train/accuracy", "lr-Adam"}
        assert sum(bool(row["train/loss"]) for row in rows) == 4  # one a step

    def test_tensorboard_holds_the_same_scalars(self, issue: Run) -> None:
        events = EventAccumulator(str(issue.folder / "tensorboard")).Reload()
        assert set(events.Tags()["scalars"]) >= METRICS | {"train/loss", "train/accuracy", "lr-Adam"}
        assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3]

    def test_config_yaml_is_the_whole_config_without_interpolations(self, issue: Run) -> None:
        text = (issue.folder / "config.yaml").read_text()
        config = yaml.safe_load(text)
        assert "${" not in text
        assert config["name"] == "ecapa"
        assert config["feature"]["_target_"] == "speaker_id.feature.mel.Mfcc"
        assert config["callbacks"]["best"]["dirpath"] == f"{issue.folder}/checkpoints"
        assert yaml.safe_load((issue.folder / ".hydra" / "config.yaml").read_text()).keys() == config.keys()


@pytest.mark.slow
def test_without_a_validation_list_two_speakers_of_six_are_held_out(corpus: Corpus, tmp_path: Path) -> None:
    everyone = f"data.train_list={corpus.folder}/all.tsv"
    finished = run_here("train", everyone, *tiny(), f"hydra.run.dir={tmp_path}/run")
    assert finished.status == 0, finished.out
    assert "training: 16 utterances of 4 speakers, 4 classes; validation: 8 utterances of 2 speakers" in finished.out
    assert len(checkpoint.load(tmp_path / "run").speakers) == 4


@pytest.mark.slow
def test_overfitting_sees_the_same_crops_again_and_its_loss_falls(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [option for option in tiny() if not option.startswith("trainer.max_epochs")]
    finished = run_here("train", "debug=overfit", "optimizer.lr=3e-3", *corpus.lists, *small)
    assert finished.status == 0, finished.out
    losses = [float(found) for found in re.findall(r"batch 2/2, loss (\d+\.\d+)", finished.out)]
    assert len(losses) == 20
    assert losses[-1] < 0.8 * losses[0]


def test_an_experiment_and_a_fast_debugging_run_compose(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [*tiny()[1:6], "data.batch_size=8", "data.crop_seconds=0.5", "data.speeds=[0.9,1.0,1.1]"]
    finished = run_here("train", "experiment=quick", "debug=fast", *corpus.lists, *small)
    assert finished.status == 0, finished.out
    assert "16 utterances of 4 speakers, 12 classes" in finished.out  # three speeds
    assert "epoch 1/1, batch 2/2, " in finished.out
    (folder,) = tmp_path.glob("runs/debug/*")
    assert metrics_of(folder).keys() >= METRICS


def test_cfg_job_prints_the_config_without_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished = run_here("train", "--cfg", "job", "loss=am", "data.batch_size=5")
    assert finished.status == 0
    config = yaml.safe_load(finished.out)
    assert config["loss"]["_target_"] == "speaker_id.loss.cosine.AdditiveMargin"
    assert config["data"]["batch_size"] == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("detail", ["full", "none"])
def test_a_checkpoint_knows_what_it_was_trained_on_unless_told_not_to(
    detail: str, corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    if detail == "none":
        run = ["trainer.max_epochs=1", "data.fingerprint=none", f"hydra.run.dir={tmp_path}/run"]
        assert run_here("train", *corpus.lists, *tiny(), *run).status == 0
        assert checkpoint.load(tmp_path / "run").seen is None
        return
    seen = checkpoint.load(two_epochs).seen
    assert seen is not None
    data = read_list(corpus.folder / "all.tsv")
    training, selection = (overlap(part, data, sound_keys(data)) for part in seen.lists)
    assert training.speakers == ("ada", "ben", "cho", "dov")
    assert len(training.recordings) == 16
    assert selection.speakers == ("eli", "fay")
