"""Galleries drawn from the recordings of an evaluation: who is in them, and what they answer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from speaker_id import scoring
from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError, DataError
from speaker_id.evaluation.identification import (
    GalleryResult,
    Options,
    by_back_end,
    identification_test,
    split_speakers,
)
from speaker_id.evaluation.identification_results import identification_table, write_identification
from speaker_id.metrics import Interval
from speaker_id.metrics.identification import cmc, dir_at_fpir, fnir, fpir, searches
from speaker_id.report.evaluation import Figure

USUAL = Options(num_enrol=2, left_out=0.4, sizes=[5, 10], num_galleries=4, fpir=[0.1])


def voices(num: int, recordings: int, noise: float, seed: int = 0) -> tuple[FloatArray, list[str]]:
    """Unit rows around one random direction a speaker."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((num, 16)).repeat(recordings, axis=0)
    rows = scoring.normalise(centres + noise * rng.standard_normal(centres.shape))
    return rows, [f"s{number:03}" for number in range(num) for _ in range(recordings)]


def value(result: GalleryResult, name: str) -> float:
    return {figure.name: figure.value for figure in result.figures}[name]


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 3), st.floats(0.05, 0.6))
def test_a_split_uses_each_recording_for_one_thing(seed: int, num_enrol: int, left_out: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 7, size=20)
    counts[:9] = 6
    speakers = [f"s{number}" for number, count in enumerate(counts) for _ in range(count)]
    options = USUAL._replace(num_enrol=num_enrol, left_out=left_out)
    split = split_speakers(speakers, options, rng)
    names = np.array(speakers)
    enrolled = np.concatenate(split.gallery)
    used = np.concatenate([enrolled, split.mated, split.nonmated])
    assert sorted(used) == list(range(len(speakers)))
    owners = [set(names[rows]) for rows in split.gallery]
    assert all(len(owner) == 1 and len(rows) == num_enrol for owner, rows in zip(owners, split.gallery, strict=True))
    assert [owners[mate] for mate in split.mates] == [{name} for name in names[split.mated]]
    assert set(split.mates) == set(range(len(owners)))  # whoever is enrolled searches too
    assert not set(names[split.nonmated]) & set(names[enrolled])
    spare = np.count_nonzero(counts > num_enrol)
    assert len(owners) == 20 - max(1, round(left_out * 20), 20 - spare)


def test_who_has_no_recording_to_spare_is_left_out_first() -> None:
    speakers = ["few"] * 2 + [name for name in "abcd" for _ in range(3)]
    for seed in range(5):
        split = split_speakers(speakers, USUAL._replace(left_out=0.2), np.random.default_rng(seed))
        assert sorted(split.nonmated) == [0, 1]


def test_the_gallery_of_everybody_agrees_with_the_whole_table_of_scores() -> None:
    rows, speakers = voices(12, 5, noise=1.5)
    split = split_speakers(speakers, USUAL, np.random.default_rng(7))
    entries = np.stack([rows[members].mean(axis=0) for members in split.gallery])
    entries /= np.linalg.norm(entries, axis=1, keepdims=True)
    table = rows[np.append(split.mated, split.nonmated)] @ entries.T
    expected = searches(table, np.append(split.mates, np.full(len(split.nonmated), -1)))
    result = identification_test(rows, speakers, USUAL, seed=7, threshold=0.3)[-1]
    assert (result.size, result.num_galleries) == (7, 1)
    assert (result.num_mated, result.num_nonmated) == (7 * 3, 5 * 5)
    np.testing.assert_allclose(result.cmc, cmc(expected, 7))
    assert value(result, "rank_1") == pytest.approx(cmc(expected, 1)[0])
    assert value(result, "rank_5") == pytest.approx(cmc(expected, 5)[-1])
    assert value(result, "dir_at_fpir_0.1") == pytest.approx(dir_at_fpir(expected, 0.1).dir)
    assert value(result, "threshold_at_fpir_0.1") == pytest.approx(dir_at_fpir(expected, 0.1).threshold)
    assert value(result, "fpir_at_threshold") == pytest.approx(fpir(expected, 0.3))
    assert value(result, "fnir_at_threshold") == pytest.approx(fnir(expected, 0.3))


def test_by_hand() -> None:
    """Two enrolled at right angles, one search each; a stranger between them is shown at a threshold below 0.6."""
    directions = {"a": [[1, 0], [0.8, 0.6]], "b": [[0, 1], [0, 1]], "x": [[0.6, 0.8]]}
    rows = np.array([row for several in directions.values() for row in several], np.float32)
    speakers = [name for name, several in directions.items() for _ in several]
    options = Options(num_enrol=1, left_out=0.3, sizes=[], num_galleries=1, fpir=[0.5])
    for seed in range(4):  # whichever recording of a is enrolled
        (result,) = identification_test(rows, speakers, options, seed=seed, threshold=0.7)
        assert (result.size, result.num_mated, result.num_nonmated) == (2, 2, 1)
        assert value(result, "rank_1") == 1  # 0.8 over 0.6, and 1 over 0
        assert value(result, "fpir_at_threshold") == 1  # x is 0.8 or more to one of them
        assert value(result, "fnir_at_threshold") == 0
        assert "dir_at_fpir_0.5" not in {figure.name for figure in result.figures}  # one search says nothing of 0.5


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(-0.2, 0.9))
def test_the_bigger_the_gallery_the_more_strangers_find_somebody(seed: int, threshold: float) -> None:
    rows, speakers = voices(30, 3, noise=1.5, seed=seed)
    options = USUAL._replace(sizes=[2, 5, 10], num_galleries=3)
    results = identification_test(rows, speakers, options, seed=seed, threshold=threshold)
    assert [result.size for result in results] == [2, 5, 10, 18]
    assert (np.diff([value(result, "fpir_at_threshold") for result in results]) >= -1e-12).all()
    assert (np.diff([value(result, "threshold_at_fpir_0.1") for result in results]) >= 0).all()
    for result in results:
        assert value(result, "dir_at_fpir_0.1") <= value(result, "rank_1") <= value(result, "rank_5")
        assert (np.diff(result.cmc) >= 0).all()
        thresholds, alarms, misses = result.curve
        at = int(np.searchsorted(thresholds, threshold))  # the first that accepts no more
        assert alarms[at] == pytest.approx(value(result, "fpir_at_threshold"))
        assert misses[at] == pytest.approx(value(result, "fnir_at_threshold"))


def test_of_a_small_gallery_those_search_who_are_in_it_and_all_strangers() -> None:
    rows, speakers = voices(30, 5, noise=1.0)
    small, whole = identification_test(rows, speakers, USUAL._replace(sizes=[5]), seed=1)
    assert (small.num_galleries, small.num_mated, small.num_nonmated) == (4, 4 * 5 * 3, 12 * 5)
    assert (whole.num_galleries, whole.num_mated, whole.num_nonmated) == (1, 18 * 3, 12 * 5)
    assert len(small.cmc) == 5
    assert small.cmc[-1] == 1


def test_blocks_of_searches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, speakers = voices(20, 4, noise=1.5)
    whole = identification_test(rows, speakers, USUAL, seed=3, threshold=0.4)
    monkeypatch.setattr("speaker_id.evaluation.identification.BLOCK_SCORES", 40)
    for ours, theirs in zip(identification_test(rows, speakers, USUAL, seed=3, threshold=0.4), whole, strict=True):
        assert [figure.name for figure in ours.figures] == [figure.name for figure in theirs.figures]
        for left, right in zip(ours.figures, theirs.figures, strict=True):
            assert left.value == pytest.approx(right.value, abs=1e-6)


def test_the_seed_decides_and_nothing_else() -> None:
    rows, speakers = voices(20, 4, noise=2.0)
    first, again, other = (identification_test(rows, speakers, USUAL, seed=seed, num_draws=20) for seed in (1, 1, 2))
    assert [result.figures for result in first] == [result.figures for result in again]
    assert [result.figures for result in first] != [result.figures for result in other]


def test_intervals_are_those_of_independent_speakers() -> None:
    """With one search a speaker a rate is a binomial proportion, whose normal interval is known."""
    rows, speakers = voices(500, 4, noise=1.6)
    options = USUAL._replace(num_enrol=3, sizes=[], fpir=[0.1])
    (result,) = identification_test(rows, speakers, options, seed=1, threshold=0.6, num_draws=1000)
    figures = {figure.name: figure for figure in result.figures}
    for name in ("rank_1", "fnir_at_threshold"):
        _, rate, interval = figures[name]
        assert interval is not None
        assert 0.05 < rate < 0.95
        spread = 1.96 * np.sqrt(rate * (1 - rate) / result.num_mated)
        assert interval == pytest.approx((rate - spread, rate + spread), abs=0.2 * spread)
    dir_at = figures["dir_at_fpir_0.1"]
    assert dir_at.interval is not None
    assert dir_at.interval.low < dir_at.value < dir_at.interval.high
    assert figures["threshold_at_fpir_0.1"].interval is None


def test_speakers_are_drawn_not_searches() -> None:
    """With searches in equal numbers a rate is the mean of the speakers' own, whose spread says what it is worth."""
    rows, speakers = voices(300, 6, noise=0.3)
    options = USUAL._replace(left_out=0.5, sizes=[], fpir=[])
    (result,) = identification_test(rows, speakers, options, seed=5, threshold=0.6, num_draws=1000)
    _, rate, interval = next(figure for figure in result.figures if figure.name == "fpir_at_threshold")
    split = split_speakers(speakers, options, np.random.default_rng(5))
    entries = scoring.normalise(np.stack([rows[members].mean(axis=0) for members in split.gallery]))
    shown = (rows[split.nonmated] @ entries.T).max(axis=1) >= 0.6
    by_speaker = [shown[np.array(speakers)[split.nonmated] == name].mean() for name in set(speakers)
                  if (np.array(speakers)[split.nonmated] == name).any()]  # fmt: skip
    spread = 1.96 * np.std(by_speaker) / np.sqrt(len(by_speaker))
    assert spread > 1.5 * 1.96 * np.sqrt(rate * (1 - rate) / len(shown))  # what drawing searches would say
    assert rate == pytest.approx(np.mean(by_speaker))
    assert interval == pytest.approx((rate - spread, rate + spread), abs=0.2 * spread)


def test_a_back_end_scores_every_search_against_every_entry() -> None:
    gallery, probes = voices(3, 1, noise=0.1)[0], voices(5, 1, noise=0.1, seed=1)[0]
    table = by_back_end(scoring.Cosine())(gallery, probes)
    np.testing.assert_allclose(table, probes @ gallery.T, atol=1e-6)
    rows, speakers = voices(20, 4, noise=1.0)
    plain, through = (
        identification_test(rows, speakers, USUAL, seed=3, score=score)
        for score in (None, by_back_end(scoring.Cosine()))
    )
    for ours, theirs in zip(plain, through, strict=True):
        assert [figure.value for figure in ours.figures] == pytest.approx([figure.value for figure in theirs.figures])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_enrol": 0}, "num_enrol"),
        ({"num_galleries": 0}, "num_galleries"),
        ({"left_out": 0.0}, "left_out"),
        ({"left_out": 1.0}, "left_out"),
        ({"sizes": [10, 1]}, "sizes"),
        ({"fpir": [0.01, 0.0]}, "fpir"),
        ({"fpir": [1.5]}, "fpir"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_its_name(change: dict[str, Any], message: str) -> None:
    rows, speakers = voices(10, 4, noise=1.0)
    with pytest.raises(ConfigError, match=rf"^identification_options\b.*{message}"):
        identification_test(rows, speakers, USUAL._replace(**change), seed=1)


def test_too_few_recordings_are_refused_with_what_to_change() -> None:
    rows, speakers = voices(6, 2, noise=1.0)
    with pytest.raises(DataError, match=r"^0 of 6 speakers have more than 2 recordings.*lower identification_options"):
        identification_test(rows, speakers, USUAL, seed=1)


def test_recordings_without_a_speaker_are_refused() -> None:
    rows, speakers = voices(6, 4, noise=1.0)
    with pytest.raises(DataError, match=r"needs to know who speaks: give data.test_list=FILE"):
        identification_test(rows, ["", *speakers[1:]], USUAL, seed=1)


def results() -> tuple[GalleryResult, ...]:
    figures = (
        Figure("rank_1", 0.95, Interval(0.9, 0.99)),
        Figure("dir_at_fpir_0.01", 0.5, Interval(0.4, 0.6)),
        Figure("threshold_at_fpir_0.01", 0.4321, None),
    )
    curve = (np.array([0.1, 0.4, np.inf]), np.array([1, 0.1, 0]), np.array([0, 0.2, 1]))
    return (
        GalleryResult(10, 4, 1200, 300, figures[:1], np.array([0.95, 1.0]), curve),
        GalleryResult(1251, 1, 5000, 300, figures, np.array([0.95, 1.0]), curve),
    )


def test_the_table_has_a_column_a_size_and_leaves_out_what_is_not_known() -> None:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(identification_table(results()))
    rows = {
        cells[0].strip(): [cell.strip() for cell in cells[1:]]
        for cells in (line.strip("│ ").split("│") for line in capture.get().splitlines() if "│" in line)
    }
    assert "1,251 enrolled" in capture.get()
    assert rows["rank 1"] == ["95.00%", "95.00%"]
    assert rows["DIR at FPIR 1 %"] == ["", "50.00%"]
    assert rows["threshold at FPIR 1 %"] == ["", "0.4321"]
    assert rows["searches by others"] == ["1,200", "300"]
    assert "40.0% to 60.0%" in capture.get()


def test_the_files_hold_every_figure(tmp_path: Path) -> None:
    write_identification(tmp_path, results())
    small, whole = json.loads((tmp_path / "identification.json").read_text(encoding="utf-8"))
    assert (small["gallery_size"], whole["num_galleries"], whole["cmc"]) == (10, 1, [0.95, 1.0])
    assert whole["figures"]["dir_at_fpir_0.01"] == {"value": 0.5, "interval": [0.4, 0.6]}
    assert whole["figures"]["threshold_at_fpir_0.01"] == {"value": 0.4321, "interval": None}
    lines = (tmp_path / "identification.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["gallery_size", "figure", "value", "low", "high"]
    assert lines[1].split("\t") == ["10", "rank_1", "0.95", "0.9", "0.99"]
    assert lines[-1].split("\t") == ["1251", "threshold_at_fpir_0.01", "0.4321", "", ""]
    assert (tmp_path / "identification.png").read_bytes().startswith(b"\x89PNG")
