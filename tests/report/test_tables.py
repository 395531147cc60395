import io
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from speaker_id.errors import DataError, SpeakerIdError
from speaker_id.metrics import Interval, VerificationMetrics, verification_metrics
from speaker_id.report.files import whole_file
from speaker_id.report.tables import metrics_table, write_metrics_json, write_scores_tsv

METRICS = VerificationMetrics(
    eer=0.0234,
    threshold=0.31,
    tpr=0.977,
    fpr=0.0233,
    min_dcf=0.25,
    min_dcf_05=0.125,
    num_targets=1000,
    num_nontargets=20000,
)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond 10 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_table_prints_rates_in_per_cent_with_the_interval() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(metrics_table(METRICS, Interval(0.019, 0.028)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2.34%  (95 % interval 1.90% to 2.80%)" in text
    for shown in ("0.3100", "97.70%", "2.33%", "0.2500", "0.1250", "21,000", "1,000", "20,000"):
        assert shown in text


def test_json_holds_the_metrics_the_interval_and_the_extra_values(tmp_path: Path) -> None:
    write_metrics_json(tmp_path / "new" / "metrics.json", METRICS, Interval(0.02, 0.03), {"list": "vox1_o.txt"})
    assert json.loads((tmp_path / "new" / "metrics.json").read_text()) == {
        "eer": 0.0234,
        "eer_interval": [0.02, 0.03],
        "threshold": 0.31,
        "tpr": 0.977,
        "fpr": 0.0233,
        "min_dcf": 0.25,
        "min_dcf_05": 0.125,
        "num_trials": 21000,
        "num_targets": 1000,
        "num_nontargets": 20000,
        "list": "vox1_o.txt",
    }


def test_metrics_of_arrays_are_plain_json_numbers(tmp_path: Path) -> None:
    write_metrics_json(tmp_path / "m.json", verification_metrics(np.float32([1, 1]), [1, 0]))
    stored = json.loads((tmp_path / "m.json").read_text())
    assert (stored["eer"], stored["threshold"], stored["eer_interval"]) == (0.5, 1.0, None)


@pytest.mark.parametrize("extra", [{"eer": 0.0}, {"x": float("nan")}, {"x": object()}])
def test_json_refuses_what_it_cannot_hold(tmp_path: Path, extra: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"m\.json"):
        write_metrics_json(tmp_path / "m.json", METRICS, extra=extra)
    assert list(tmp_path.iterdir()) == []


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
        write_metrics_json(tmp_path / "out" / "metrics.json", METRICS)


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
