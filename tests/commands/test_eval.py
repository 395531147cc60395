"""What an evaluation says and leaves behind."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from commands.running import Corpus, Finished, metrics_of, run_here
from speaker_id import metrics

pytestmark = pytest.mark.slow

FILES = {"metrics.json", "scores.tsv", "det.png", "score_histogram.png"}


class Evaluation(NamedTuple):
    folder: Path
    finished: Finished


class Row(NamedTuple):
    """A line of scores.tsv."""

    enrol: str
    test: str
    score: float
    is_target: bool


@pytest.fixture(scope="module")
def evaluation(corpus: Corpus, two_epochs: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("evaluation")
    arguments = [f"checkpoint={two_epochs}", f"data.test_list={corpus.folder}/all.tsv", "data.num_workers=0"]
    return Evaluation(folder, run_here("eval", *arguments, "interval_draws=200", f"hydra.run.dir={folder}"))


def scores_of(folder: Path) -> list[Row]:
    header, *lines = (folder / "scores.tsv").read_text().splitlines()
    place = {name: number for number, name in enumerate(header.split("\t"))}
    rows = [line.split("\t") for line in lines]
    return [
        Row(row[place["enrol"]], row[place["test"]], float(row[place["score"]]), row[place["label"]] == "target")
        for row in rows
    ]


def test_it_writes_its_four_files_and_shows_one_table(evaluation: Evaluation) -> None:
    assert evaluation.finished.status == 0, evaluation.finished.out
    assert {path.name for path in evaluation.folder.iterdir()} >= FILES
    assert all((evaluation.folder / name).read_bytes()[1:4] == b"PNG" for name in FILES if name.endswith("png"))
    assert evaluation.finished.out.count("Speaker verification") == 1
    assert str(evaluation.folder) in evaluation.finished.out


def test_every_pair_of_the_list_is_a_trial_once(evaluation: Evaluation) -> None:
    rows = scores_of(evaluation.folder)
    assert len(rows) == len({frozenset(row[:2]) for row in rows}) == 24 * 23 // 2
    assert all(row.is_target == (row.enrol[:3] == row.test[:3]) for row in rows)


def test_the_metrics_are_those_of_the_scores(evaluation: Evaluation) -> None:
    rows, found = scores_of(evaluation.folder), metrics_of(evaluation.folder)
    again = metrics.verification_metrics(
        np.array([row.score for row in rows], np.float32), np.array([row.is_target for row in rows])
    )
    for name in ("eer", "threshold", "tpr", "fpr", "min_dcf"):
        assert found[name] == pytest.approx(getattr(again, name), abs=1e-6), name
    assert found["num_trials"] == len(rows)


def test_the_interval_holds_the_rate(evaluation: Evaluation) -> None:
    found = metrics_of(evaluation.folder)
    low, high = found["eer_interval"]
    assert 0 <= low <= found["eer"] <= high <= 1
    assert low < high
    assert f"(95 % interval {low:.2%} to {high:.2%})" in evaluation.finished.out


@pytest.mark.parametrize("layout", ["voxceleb", "kaldi"])
def test_listed_trials_measure_the_same_in_both_layouts(
    layout: str, evaluation: Evaluation, corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    kinds = {"voxceleb": ("{1:d} {0}", "1", "0"), "kaldi": ("{0} {2}", "target", "nontarget")}[layout]
    lines = [
        kinds[0].format(f"{row.enrol} {row.test}", row.is_target, kinds[1] if row.is_target else kinds[2])
        for row in scores_of(evaluation.folder)
    ]
    (tmp_path / "trials.txt").write_text("\n".join(lines) + "\n")
    arguments = [f"checkpoint={two_epochs}", f"trials={tmp_path}/trials.txt", f"data.root={corpus.folder}"]
    finished = run_here("eval", *arguments, "data.num_workers=0", f"hydra.run.dir={tmp_path}/out")
    assert finished.status == 0, finished.out
    listed, all_pairs = metrics_of(tmp_path / "out"), metrics_of(evaluation.folder)
    assert listed["num_trials"] == all_pairs["num_trials"]
    assert listed["eer"] == pytest.approx(all_pairs["eer"], abs=1e-6)
    assert listed["threshold"] == pytest.approx(all_pairs["threshold"], abs=1e-6)
