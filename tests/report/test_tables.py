import io
import json
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from speaker_id import metrics
from speaker_id.errors import DataError, SpeakerIdError
from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Figure
from speaker_id.report.files import whole_file
from speaker_id.report.tables import metrics_table, write_metrics_json, write_scores_tsv

FIGURES = (
    Figure("eer", 0.0234, Interval(0.019, 0.028)),
    Figure("threshold", 0.31, None),
    Figure("min_dcf", 0.25, Interval(0.2, 0.3)),
)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond 10 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def printed(figures: Sequence[Figure]) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(metrics_table(figures, num_targets=1000, num_nontargets=20000))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_table_prints_rates_in_per_cent_and_costs_as_numbers_with_their_intervals() -> None:
    text = printed(FIGURES)
    assert "2.34%  (95 % interval 1.90% to 2.80%)" in text
    assert "0.2500  (95 % interval 0.2000 to 0.3000)" in text
    for shown in ("0.3100", "21,000", "1,000", "20,000"):
        assert shown in text
    assert text.count("interval") == 2


def test_every_figure_that_an_evaluation_has_is_named_in_words() -> None:
    names = metrics.figures([0.1, 0.2], [0, 1], llr=(1, 0), threshold=0.1)
    for name in names:
        assert f"│ {name.replace('_', ' ')} " not in printed([Figure(name, 0.5, None)]), name


def test_a_figure_without_words_goes_by_its_own_name() -> None:
    assert "rank 5" in printed([Figure("rank_5", 0.5, None)])


def test_json_holds_the_figures_their_intervals_and_the_extra_values(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_metrics_json(path, FIGURES, num_targets=1000, num_nontargets=20000, extra={"list": "vox1_o.txt"})
    assert json.loads(path.read_text()) == {
        "eer": 0.0234,
        "eer_interval": [0.019, 0.028],
        "threshold": 0.31,
        "threshold_interval": None,
        "min_dcf": 0.25,
        "min_dcf_interval": [0.2, 0.3],
        "num_trials": 21000,
        "num_targets": 1000,
        "num_nontargets": 20000,
        "list": "vox1_o.txt",
    }


def test_figures_of_arrays_are_plain_json_numbers(tmp_path: Path) -> None:
    values = metrics.figures(np.float32([1, 1]), [1, 0], llr=(1, 0), threshold=1)
    figures = [Figure(name, value, None) for name, value in values.items()]
    write_metrics_json(tmp_path / "m.json", figures, num_targets=1, num_nontargets=1)
    stored = json.loads((tmp_path / "m.json").read_text())
    assert {name: stored[name] for name in values} == values


@pytest.mark.parametrize("extra", [{"eer": 0.0}, {"eer_interval": 0}, {"x": float("nan")}, {"x": object()}])
def test_json_refuses_what_it_cannot_hold(tmp_path: Path, extra: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"m\.json"):
        write_metrics_json(tmp_path / "m.json", FIGURES, num_targets=1, num_nontargets=1, extra=extra)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="eer, eer_interval would be written twice"):
        write_metrics_json(tmp_path / "m.json", [FIGURES[0], FIGURES[0]], num_targets=1, num_nontargets=1)


def test_scores_are_one_tab_separated_line_per_trial(tmp_path: Path) -> None:
    write_scores_tsv(tmp_path / "scores.tsv", ["a 1", "b"], iter(["c", "d"]), np.float32([0.1, -1]), [True, False])
    expected = "enrol\ttest\tscore\tlabel\na 1\tc\t0.100000001\ttarget\nb\td\t-1\tnontarget\n"
    assert (tmp_path / "scores.tsv").read_text() == expected


def test_written_scores_are_read_back_exactly(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).uniform(-1, 1, 2000).astype(np.float32)
    names = [f"r{i}" for i in range(2000)]
    write_scores_tsv(tmp_path / "scores.tsv", names, names[::-1], scores, scores > 0)
    lines = (tmp_path / "scores.tsv").read_text().splitlines()[1:]
    assert [np.float32(line.split("\t")[2]) for line in lines] == scores.tolist()


def test_speakers_follow_as_two_columns_when_they_are_known(tmp_path: Path) -> None:
    path, speakers = tmp_path / "scores.tsv", {"enrol_speakers": ["ann", "ann"], "test_speakers": iter(["ann", "bob"])}
    write_scores_tsv(path, ["a", "a"], ["b", "c"], [0.5, -1], [True, False], **speakers)
    assert path.read_text() == (
        "enrol\ttest\tscore\tlabel\tenrol_speaker\ttest_speaker\n"
        "a\tb\t0.5\ttarget\tann\tann\na\tc\t-1\tnontarget\tann\tbob\n"
    )


def test_a_speaker_that_would_break_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'b\\tc' holds a tab"):
        write_scores_tsv(
            tmp_path / "s.tsv", ["x"], ["y"], [0.1], [True], enrol_speakers=["ann"], test_speakers=["b\tc"]
        )


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb"])
def test_a_name_that_would_break_the_columns_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="tab or a line break"):
        write_scores_tsv(tmp_path / "scores.tsv", ["x", name], ["y", "z"], [0.1, 0.2], [True, False])
    assert list(tmp_path.iterdir()) == []


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="differ in number"):
        write_scores_tsv(tmp_path / "scores.tsv", ["x"], ["y", "z"], [0.1, 0.2], [True, False])


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_named_and_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "scores.tsv"
    path.write_text("old")
    with pytest.raises(SpeakerIdError, match=r"could not write .*scores\.tsv"):
        write_scores_tsv(path, ["x"] * 5000, ["y"] * 5000, np.zeros(5000), np.ones(5000))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SpeakerIdError, match="could not write"):
        write_metrics_json(tmp_path / "out" / "metrics.json", FIGURES, num_targets=1, num_nontargets=1)


def test_an_interrupted_block_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")

    def interrupted() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_whoever_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with path.open() as reader:
        with whole_file(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with whole_file(tmp_path / "whole") as temporary:
        temporary.write_text("")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode
