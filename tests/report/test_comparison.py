from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from speaker_id import metrics
from speaker_id.errors import DataError
from speaker_id.report.comparison import FEW_SPEAKERS, RunComparison, compare_runs
from speaker_id.report.tables import write_scores_tsv

HEADER = "enrol\ttest\tscore\tlabel\tenrol_speaker\ttest_speaker\n"
LINES = [
    "a1\ta2\t0.9\ttarget\tann\tann",
    "a1\tb1\t0.1\tnontarget\tann\tbob",
    "a2\tb1\t0.3\tnontarget\tann\tbob",
    "b1\tb2\t0.8\ttarget\tbob\tbob",
]


class Run:
    """All pairs of `num_speakers` times 4 recordings, written as an evaluation does."""

    def __init__(self, folder: Path, num_speakers: int) -> None:
        rng = np.random.default_rng(num_speakers)
        speakers = np.repeat(np.arange(num_speakers), 4)
        points = rng.normal(size=(num_speakers, 4))[speakers] + 0.7 * rng.normal(size=(speakers.size, 4))
        self.enrol, self.test = np.triu_indices(speakers.size, 1)
        self.scores = -np.linalg.norm(points[self.enrol] - points[self.test], axis=1).astype(np.float32)
        self.speakers, self.is_target = speakers, speakers[self.enrol] == speakers[self.test]
        self.folder = folder

    def write(self, name: str, scores: np.ndarray, order: np.ndarray | None = None, turned: bool = False) -> Path:
        order = np.arange(scores.size) if order is None else order
        sides = [self.test, self.enrol] if turned else [self.enrol, self.test]
        enrol, test = (side[order] for side in sides)
        columns = ([f"r{row}" for row in side] for side in (enrol, test))
        spoken = ([f"s{self.speakers[row]}" for row in side] for side in (enrol, test))
        path = self.folder / name / "scores.tsv"
        kinds = dict(zip(("enrol_speakers", "test_speakers"), spoken, strict=True))
        write_scores_tsv(path, *columns, scores[order], self.is_target[order], **kinds)
        return path.parent

    def noisy(self, amount: float, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=self.scores.size)
        return (self.scores + amount * noise).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[int], Run]:
    return lambda num_speakers: Run(tmp_path, num_speakers)


def compared(a: Path, b: Path, num_draws: int = 100) -> RunComparison:
    return compare_runs(a, b, rng=np.random.default_rng(0), num_draws=num_draws)


def test_a_clearly_worse_run_is_told_so_with_its_interval_in_points(run: Callable[[int], Run]) -> None:
    trials = run(25)
    found = compared(trials.write("a", trials.scores), trials.write("b", trials.noisy(2.0, 1)))
    eer = found.differences["eer"]
    assert eer.significant
    assert found.sentence == (
        f"B's EER is {100 * eer.difference:.2f} points higher than A's (95% interval {100 * eer.interval.low:.2f} to "
        f"{100 * eer.interval.high:.2f}, p = {eer.p_value:.2g}): the difference is real, A is better."
    )
    assert len(found.sentences) == 2  # enough speakers: no warning


def test_a_clearly_better_run_has_the_ends_of_its_interval_in_rising_order(run: Callable[[int], Run]) -> None:
    trials = run(25)
    found = compared(trials.write("a", trials.noisy(2.0, 1)), trials.write("b", trials.scores))
    low, high = found.differences["eer"].interval
    assert low < high < 0
    assert f"points lower than A's (95% interval {-100 * high:.2f} to {-100 * low:.2f}," in found.sentence
    assert found.sentence.endswith("the difference is real, B is better.")


def test_two_equally_noisy_runs_cannot_be_told_apart(run: Callable[[int], Run]) -> None:
    trials = run(12)
    found = compared(trials.write("a", trials.noisy(1.0, 1)), trials.write("b", trials.noisy(1.0, 2)))
    low, high = found.differences["eer"].interval
    assert low < 0 < high
    assert f"from {-100 * low:.2f} points lower to {100 * high:.2f} points higher" in found.sentence
    assert found.sentence.endswith("this cannot be told from chance.")


def test_a_run_compared_with_itself_is_the_same(run: Callable[[int], Run]) -> None:
    trials = run(8)
    folder = trials.write("a", trials.scores)
    found = compared(folder, folder)
    assert "is the same as A's" in found.sentence
    assert found.differences["eer"].p_value == 1.0


def test_few_speakers_are_a_warning(run: Callable[[int], Run]) -> None:
    trials = run(5)
    folder = trials.write("a", trials.scores)
    found = compared(folder, folder)
    assert found.num_speakers == 5 < FEW_SPEAKERS
    assert "only 5 speakers" in found.sentences[-1]


def test_neither_the_order_of_lines_nor_of_sides_matters(run: Callable[[int], Run]) -> None:
    trials = run(8)
    a, noisy = trials.write("a", trials.scores), trials.noisy(1.0, 3)
    straight = compared(a, trials.write("b", noisy))
    shuffled = np.random.default_rng(1).permutation(noisy.size)
    turned = compared(a, trials.write("c", noisy, shuffled, turned=True))
    assert straight.differences == turned.differences
    assert straight.differences["eer"].difference != 0


def test_the_figures_are_those_of_the_written_scores(run: Callable[[int], Run]) -> None:
    trials = run(8)
    noisy = trials.noisy(1.0, 4)
    found = compared(trials.write("a", trials.scores), trials.write("b", noisy))
    assert found.figures_a == metrics.figures(trials.scores, trials.is_target)
    assert found.figures_b == metrics.figures(noisy, trials.is_target)
    assert found.differences["eer"].difference == found.figures_b["eer"] - found.figures_a["eer"]
    assert (found.num_targets, found.num_nontargets) == (trials.is_target.sum(), (~trials.is_target).sum())


def test_the_same_draws_serve_both_systems_as_in_the_arrays_own_test(run: Callable[[int], Run]) -> None:
    trials = run(8)
    noisy = trials.noisy(1.0, 5)
    found = compared(trials.write("a", trials.scores), trials.write("b", noisy), num_draws=400)
    speakers = trials.speakers[trials.enrol], trials.speakers[trials.test]
    rng = np.random.default_rng(9)
    direct = metrics.paired_differences(trials.scores, noisy, trials.is_target, *speakers, rng=rng, num_draws=400)
    # Other draws, as the speakers are numbered otherwise; the same distribution.
    assert found.differences["eer"].interval == pytest.approx(direct["eer"].interval, abs=0.02)


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_pair_that_is_listed_twice_must_be_listed_twice_in_both(tmp_path: Path) -> None:
    twice = [*LINES, "a2\ta1\t0.2\ttarget\tann\tann"]
    a = written(tmp_path, "a.tsv", HEADER + "\n".join(twice) + "\n")
    b = written(tmp_path, "b.tsv", HEADER + "\n".join(reversed(twice)) + "\n")
    assert compared(a, b, num_draws=3).differences["min_dcf"].interval == (0, 0)
    once = written(tmp_path, "c.tsv", HEADER + "\n".join(LINES) + "\n")
    with pytest.raises(DataError, match=r"1 only in .*a\.tsv \(the first a1 and a2\)"):
        compared(a, once)


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    order = [5, 2, 0, 4, 1, 3]
    lines = [HEADER.rstrip("\n"), *LINES]
    moved = "\n".join("\t".join(line.split("\t")[place] for place in order) + "\textra" for line in lines)
    a = written(tmp_path, "a.tsv", HEADER + "\n".join(LINES) + "\n")
    b = written(tmp_path, "b.tsv", moved + "\n")
    found = compared(a, b, num_draws=3)
    assert found.figures_a == found.figures_b


def test_different_trials_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    a = written(tmp_path, "a.tsv", HEADER + "\n".join([*LINES, "a1\tb2\t0\tnontarget\tann\tbob"]) + "\n")
    b = written(tmp_path, "b.tsv", HEADER + "\n".join([*LINES[1:], "a9\tb2\t0\tnontarget\tann\tbob"]) + "\n")
    with pytest.raises(DataError) as caught:
        compared(a, b)
    assert f"2 only in {a} (the first a1 and a2); 1 only in {b} (the first a9 and b2)" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("a2\tb1\t0.3\ttarget\tann\tbob", r"label 1 trials differently, the first a2 and b1"),
        ("a2\tb1\t0.3\tnontarget\tann\tbobby", r"'b1' needs one speaker, not 'bob' and 'bobby'"),
        ("a2\tb1\t0.3\tnontarget\tann\t", r"line 4: 'b1' needs one speaker"),
        ("a2\tb1\thigh\tnontarget\tann\tbob", r"line 4: not a scored trial: 'a2"),
        ("a2\tb1\t0.3\tnone\tann\tbob", r"line 4: not a scored trial"),
        ("a2\tb1\t0.3\tnontarget\tann", r"line 4: not a scored trial"),
        ("a2\tb1\tnan\tnontarget\tann\tbob", r"nan: scores must be finite"),
    ],
)
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, changed: str, message: str) -> None:
    a = written(tmp_path, "a.tsv", HEADER + "\n".join(LINES) + "\n")
    b = written(tmp_path, "b.tsv", HEADER + "\n".join([*LINES[:2], changed, LINES[3]]) + "\n")
    with pytest.raises(DataError, match=message):
        compared(a, b)


def test_a_recording_of_nobody_is_refused(tmp_path: Path) -> None:
    a = written(tmp_path, "a.tsv", HEADER + "\n".join(line.replace("bob", "") for line in LINES) + "\n")
    with pytest.raises(DataError, match="line 3: 'b1' needs one speaker, not '' and ''"):
        compared(a, a)


def test_runs_that_name_other_speakers_are_refused(tmp_path: Path) -> None:
    a = written(tmp_path, "a.tsv", HEADER + "\n".join(LINES) + "\n")
    b = written(tmp_path, "b.tsv", HEADER + "\n".join(line.replace("bob", "ben") for line in LINES) + "\n")
    with pytest.raises(DataError, match="name different speakers for 2 recordings, the first b1"):
        compared(a, b)


def test_scores_without_speakers_are_refused_with_the_remedy(tmp_path: Path) -> None:
    write_scores_tsv(tmp_path / "a" / "scores.tsv", ["x", "x"], ["y", "z"], [0.1, 0.2], [True, False])
    with pytest.raises(DataError, match=r"does not say who speaks.* evaluate again .*data\.test_list=FILE"):
        compared(tmp_path / "a", tmp_path / "a")


def test_what_is_no_table_of_scores_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks test, score, label"):
        compared(written(tmp_path, "list.tsv", "enrol\tfile\n"), tmp_path)
    with pytest.raises(DataError, match=r"scores\.tsv does not exist: give the folder of an evaluation"):
        compared(tmp_path, tmp_path)
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        compared(tmp_path / "bytes.tsv", tmp_path)
