"""What an evaluation says and leaves behind."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from commands.running import Corpus, Finished, metrics_of, run_here
from speaker_id import checkpoint, metrics

pytestmark = pytest.mark.slow

LEAKS = "allow_leakage=true"  # two of six speakers would make too few trials
FILES = {"metrics.json", "scores.tsv", "det.png", "rates_by_threshold.png", "score_histogram.png"}


class Evaluation(NamedTuple):
    folder: Path
    finished: Finished


class Row(NamedTuple):
    """A line of scores.tsv."""

    enrol: str
    test: str
    score: float
    is_target: bool


def evaluated(folder: Path, checkpoint: Path, *arguments: str) -> Evaluation:
    usual = [f"checkpoint={checkpoint}", "data.num_workers=0", f"hydra.run.dir={folder}"]
    return Evaluation(folder, run_here("eval", *usual, *arguments))


@pytest.fixture(scope="module")
def evaluation(corpus: Corpus, two_epochs: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("evaluation")
    return evaluated(folder, two_epochs, f"data.test_list={corpus.folder}/all.tsv", "interval_draws=200", LEAKS)


def scores_of(folder: Path) -> list[Row]:
    header, *lines = (folder / "scores.tsv").read_text().splitlines()
    place = {name: number for number, name in enumerate(header.split("\t"))}
    rows = [line.split("\t") for line in lines]
    return [
        Row(row[place["enrol"]], row[place["test"]], float(row[place["score"]]), row[place["label"]] == "target")
        for row in rows
    ]


def test_it_writes_its_files_and_shows_one_table(evaluation: Evaluation) -> None:
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
    arguments = [f"trials={tmp_path}/trials.txt", f"data.root={corpus.folder}", LEAKS]
    finished = evaluated(tmp_path / "out", two_epochs, *arguments).finished
    assert finished.status == 0, finished.out
    listed, all_pairs = metrics_of(tmp_path / "out"), metrics_of(evaluation.folder)
    assert listed["num_trials"] == all_pairs["num_trials"]
    assert listed["eer"] == pytest.approx(all_pairs["eer"], abs=1e-6)
    assert listed["threshold"] == pytest.approx(all_pairs["threshold"], abs=1e-6)


def test_scores_say_who_speaks_and_the_metrics_where_they_come_from(evaluation: Evaluation, two_epochs: Path) -> None:
    header, first, *_ = (evaluation.folder / "scores.tsv").read_text().splitlines()
    row = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert (row["enrol_speaker"], row["test_speaker"]) == (row["enrol"][:3], row["test"][:3])
    found = metrics_of(evaluation.folder)
    assert (found["checkpoint"], found["num_recordings"]) == (str(two_epochs), 24)
    assert (found["back_end"], found["crop"]) == ("cosine", "whole recordings")
    assert found["operating_point"]["calibrated"] is False
    assert found["command"].startswith(f"python -m speaker_id.eval checkpoint={two_epochs} ")
    assert "uncalibrated" in evaluation.finished.out


# --- leakage ----------------------------------------------------------------------------------------------------------


def test_training_speakers_stop_it_before_any_figure_unless_allowed(
    evaluation: Evaluation, corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    stopped = evaluated(tmp_path / "out", two_epochs, f"data.test_list={corpus.folder}/all.tsv")
    assert stopped.finished.status == 1
    assert f"shares with the training of {two_epochs}: 4 speakers (ada, ben, cho, ...), 16" in stopped.finished.out
    assert "EER" not in stopped.finished.out
    assert not {path.name for path in stopped.folder.iterdir()} & FILES
    verdict = metrics_of(evaluation.folder)["leakage"]
    assert verdict == {
        "checked": True, "found": True, "allowed": True,
        "num_speakers": 4, "num_recordings": 16, "num_audio": 0, "num_cohort": 0,
    }  # fmt: skip


def test_a_training_recording_under_another_name_is_heard(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    for name in ("eli-0.wav", "eli-2.wav", "fay-0.wav"):
        (tmp_path / name).write_bytes((corpus.folder / name).read_bytes())
    (tmp_path / "new.wav").write_bytes((corpus.folder / "ada-0.wav").read_bytes())
    (tmp_path / "test.tsv").write_text("eli-0.wav\te\neli-2.wav\te\nfay-0.wav\tf\nnew.wav\tnew\n")
    stopped = evaluated(tmp_path / "out", two_epochs, f"data.test_list={tmp_path}/test.tsv")
    assert stopped.finished.status == 1
    assert "1 recordings under another name (new.wav)" in stopped.finished.out


# --- back ends, models, crops -----------------------------------------------------------------------------------------


def test_a_back_end_learns_from_a_cohort(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    options = ["backend=as_norm", "backend.top_k=3", f"data.test_list={corpus.val}", "interval_draws=0"]
    found = evaluated(tmp_path / "out", two_epochs, *options, f"data.cohort_list={corpus.train}")
    assert found.finished.status == 0, found.finished.out
    written = metrics_of(found.folder)
    assert written["back_end"] == "AS-norm, 3 nearest of 4 speakers"
    assert written["operating_point"] is None  # it was chosen among cosines
    assert "operating_fpr" not in written
    plain = evaluated(tmp_path / "plain", two_epochs, *options[2:])
    assert [row.score for row in scores_of(found.folder)] != [row.score for row in scores_of(plain.folder)]


def test_models_are_enrolled_with_several_recordings(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    (tmp_path / "models.tsv").write_text("E\teli-0.wav\nE\teli-1.flac\nF\tfay-0.wav\n")
    (tmp_path / "trials.txt").write_text("1 E eli-2.wav\n0 E fay-2.wav\n1 F fay-2.wav\n0 F eli-2.wav\n")
    options = [f"trials={tmp_path}/trials.txt", f"data.models={tmp_path}/models.tsv", f"data.root={corpus.folder}"]
    mean = evaluated(tmp_path / "mean", two_epochs, *options, f"data.test_list={corpus.val}", "interval_draws=10")
    assert mean.finished.status == 0, mean.finished.out
    header, first, *_ = (mean.folder / "scores.tsv").read_text().splitlines()
    row = dict(zip(header.split("\t"), first.split("\t"), strict=True))
    assert (row["enrol"], row["test"], row["enrol_speaker"]) == ("E", "eli-2.wav", "eli")
    each = evaluated(tmp_path / "each", two_epochs, *options, "enrolment=all")  # nobody says who speaks
    assert each.finished.status == 0, each.finished.out
    assert metrics_of(each.folder)["eer_interval"] is None
    one, other = scores_of(mean.folder), scores_of(each.folder)
    assert one[2].score == pytest.approx(other[2].score, abs=1e-6)  # a model of one recording
    assert one[0].score != pytest.approx(other[0].score, abs=1e-6)


def test_everything_at_once(corpus: Corpus, two_epochs: Path, tmp_path: Path) -> None:
    """Crops, a wanted fpr, stress, identification and the report, in one run."""
    (tmp_path / "speakers.tsv").write_text("speaker\tgender\nada\tf\nben\tm\n")
    quiet = [
        f"stress_conditions.{family}=[]" for family in ("white_noise", "pink_noise", "babble", "reverb", "telephone")
    ]
    quiet += [f"stress_conditions.{family}=[]" for family in ("mp3", "opus", "clipping")]
    found = evaluated(
        tmp_path / "out", two_epochs, f"data.test_list={corpus.folder}/all.tsv", LEAKS, "interval_draws=20",
        "crop.kind=both", "crop.seconds=0.5", "crop.num=2", "target_fpr=0.1", f"data.speakers={tmp_path}/speakers.tsv",
        "stress=true", "stress_conditions.gain=[-20]", "stress_conditions.cut=[0.5]", *quiet,
        "identification=true", "report=true",
    )  # fmt: skip
    assert found.finished.status == 0, found.finished.out
    names = {path.name for path in found.folder.iterdir()}
    assert names >= FILES | {"stress.json", "identification.json", "report.html", "report.md", "report.json"}
    written = metrics_of(found.folder)
    assert written["crop"] == "whole recordings and 2 crops of 0.5 s"
    assert 0 <= written["tpr_at_target_fpr"] <= 1
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert str(corpus.folder / "all.tsv") in page


def test_more_pairs_than_are_kept_are_counted(
    evaluation: Evaluation, corpus: Corpus, two_epochs: Path, tmp_path: Path
) -> None:
    options = [f"data.test_list={corpus.folder}/all.tsv", LEAKS, "max_exact_trials=275"]
    found = evaluated(tmp_path / "out", two_epochs, *options, "target_fpr=0.1")
    assert found.finished.status == 0, found.finished.out
    written, exact = metrics_of(found.folder), metrics_of(evaluation.folder)
    assert written["num_trials"] == exact["num_trials"] == 276
    assert abs(written["eer"] - exact["eer"]) <= written["eer_max_error"] + 1e-6
    assert not (found.folder / "scores.tsv").exists()
    assert "counted in bins: the EER is within" in found.finished.out
    refused = evaluated(tmp_path / "page", two_epochs, *options, "report=true")
    assert refused.finished.status == 1
    assert (
        "report=true needs every score kept, and 24 recordings make 276 pairs: give trials=FILE" in refused.finished.out
    )
    assert "embedding" not in refused.finished.out


def test_a_map_that_cannot_be_drawn_is_refused_before_anything_is_embedded(
    corpus: Corpus, two_epochs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speaker_id.report.speaker_map.find_spec", lambda name: None)
    usual = [f"data.test_list={corpus.folder}/all.tsv", LEAKS, "report=true"]
    for choice, told in (("umap", "report_map=umap needs umap-learn"), ("pca", "report_map=pca does not exist")):
        finished = evaluated(tmp_path / choice, two_epochs, *usual, f"report_map={choice}").finished
        assert finished.status == 1
        assert told in finished.out
        assert not (tmp_path / choice / "metrics.json").exists()


def test_a_fetched_model_is_evaluated_by_its_name(
    corpus: Corpus, two_epochs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(tmp_path))
    lists = f"data.test_list={corpus.folder}/all.tsv"
    refused = evaluated(tmp_path / "refused", Path("dvector-ge2e"), lists).finished
    assert refused.status == 1
    assert "fetch it with `speaker-id pretrained get dvector-ge2e`" in refused.out
    bundle = checkpoint.save_bundle(checkpoint.load(two_epochs), tmp_path / "models" / "dvector-ge2e")
    (bundle / "ABOUT.txt").write_text("as if fetched")
    done = evaluated(tmp_path / "done", Path("dvector-ge2e"), lists, LEAKS, "interval_draws=0")
    assert done.finished.status == 0, done.finished.out
    assert metrics_of(done.folder)["checkpoint"] == "dvector-ge2e"
