"""Stress disturbs the test recordings alone, and says what that does to the EER."""

import json
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from inference.tiny_model import RATE, recording, tiny_model
from speaker_id import metrics, scoring
from speaker_id.contracts import FloatArray
from speaker_id.data.dataset import EvaluationDataset, Transform
from speaker_id.data.lists import DataList, Utterance
from speaker_id.evaluation.disturbances import Condition, Setting, make_conditions
from speaker_id.evaluation.stress import stress_table, stress_test, write_stress
from speaker_id.inference.extraction import embed_dataset, table_of
from speaker_id.report.evaluation import StressResult

ENROL, TEST = np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3])
IS_TARGET = np.array([True, False, False, True])
CLEAN = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.float32)


class Named:
    """A transform that the fake embedder below knows by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def length(self, num_samples: int) -> int:
        return num_samples

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        return waveform


# What the test rows become: still right, one of two wrong, all wrong. All other rows become rubbish.
ROWS = {"mild": [[1, 0.5], [0.5, 1]], "half": [[1, 0], [1, 0.5]], "swapped": [[0, 1], [1, 0]]}


def embed(transform: Transform) -> FloatArray:
    assert isinstance(transform, Named)
    return np.array([[9, -9], [-9, 9], *ROWS[transform.name]], np.float32)


def score(enrol: FloatArray, test: FloatArray) -> FloatArray:
    scores: FloatArray = np.einsum("me,me->m", enrol[ENROL], test[TEST])
    return scores


def condition(name: str, level: float | None = None) -> Condition:
    return Condition("fake", f"{name} case", level, "dB", Named(name))


def test_the_enrolled_side_stays_clean_and_the_test_side_is_disturbed() -> None:
    results = stress_test([condition("mild", 20), condition("swapped", 0)], CLEAN, IS_TARGET, embed=embed, score=score)
    assert results == (
        StressResult("clean", "as recorded", None, "", 0.0, None, 4),
        StressResult("fake", "mild case", 20, "dB", 0.0, None, 4),
        StressResult("fake", "swapped case", 0, "dB", 1.0, None, 4),
    )


def test_the_rate_is_that_of_the_disturbed_scores() -> None:
    # Scores: target 1, nontarget 1, nontarget 0, target 0.5; by hand the rates cross at 1/2.
    (_, result) = stress_test([condition("half")], CLEAN, IS_TARGET, embed=embed, score=score)
    assert result.eer == 0.5


def test_every_result_has_the_interval_of_its_own_scores() -> None:
    def interval(scores: FloatArray) -> metrics.Interval:
        return metrics.Interval(float(scores.min()), float(scores.max()))

    results = stress_test([condition("mild")], CLEAN, IS_TARGET, embed=embed, score=score, interval=interval)
    assert [result.interval for result in results] == [(0.0, 1.0), (0.5, 1.0)]


RESULTS = (
    StressResult("clean", "as recorded", None, "", 0.02, metrics.Interval(0.01, 0.03), 4),
    StressResult("gain", "gain of -20 dB", -20.0, "dB", 0.02, metrics.Interval(0.01, 0.03), 4),
    StressResult("cut", "cut to 1 s", 1.0, "s", 0.11, None, 4),
)


def test_the_table_says_how_many_times_the_clean_rate_it_is() -> None:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(stress_table(RESULTS))
    row = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
           for line in capture.get().splitlines() if "│" in line}  # fmt: skip
    assert row["as recorded"] == ["2.00%", "1.00% to 3.00%", "1.0"]
    assert row["gain of -20 dB"] == ["2.00%", "1.00% to 3.00%", "1.0"]
    assert row["cut to 1 s"] == ["11.00%", "", "5.5"]


def test_a_clean_rate_of_zero_is_divided_by_nothing() -> None:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(stress_table([RESULTS[0]._replace(eer=0.0), RESULTS[2]]))
    assert "inf" not in capture.get()
    assert "11.00%" in capture.get()


def test_both_files_hold_every_figure(tmp_path: Path) -> None:
    write_stress(tmp_path, RESULTS)
    rows = json.loads((tmp_path / "stress.json").read_text(encoding="utf-8"))
    assert rows[2] == {
        "family": "cut", "condition": "cut to 1 s", "level": 1.0, "unit": "s",
        "eer": 0.11, "eer_low": None, "eer_high": None, "num_trials": 4,
    }  # fmt: skip
    header, *lines = (tmp_path / "stress.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == list(rows[0])
    assert lines[0].split("\t") == ["clean", "as recorded", "", "", "0.02", "0.01", "0.03", "4"]
    assert lines[1].split("\t") == ["gain", "gain of -20 dB", "-20", "dB", "0.02", "0.01", "0.03", "4"]


def test_a_whole_evaluation_under_stress(tmp_path: Path) -> None:
    """Real files, features and a network: what is not disturbed scores as before, and levels order the damage."""
    names = [f"{speaker}{take}" for speaker in range(3) for take in range(2)]
    rows = [
        Utterance(str(recording(tmp_path / f"{name}.wav", 90 + 4 * int(name), 1.5)), name[0], name) for name in names
    ]
    data, model = DataList("made.tsv", tuple(rows)), tiny_model()

    def embed(transform: Transform | None) -> FloatArray:
        dataset = EvaluationDataset(data, sample_rate=RATE, min_seconds=0.5, max_seconds=9, transform=transform)
        batches = embed_dataset(model, dataset, device=torch.device("cpu"), batch_seconds=9, num_workers=0)
        return scoring.normalise(table_of(batches, len(rows)))

    clean = embed(None)
    moved: dict[str, list[float]] = {"white noise": [], "cut": []}

    def score(enrol: FloatArray, test: FloatArray) -> FloatArray:
        first, second = scoring.pair_indices(len(rows))
        np.testing.assert_array_equal(enrol, clean)
        distances.append(float(np.linalg.norm(test - clean)))
        return scoring.score_trials(np.concatenate([enrol, test]), first, second + len(rows))

    distances: list[float] = []
    levels = {"white_noise": [40, 10], "cut": [1, 5]}
    conditions = make_conditions(levels, Setting(data, [round(1.5 * RATE)] * 6, RATE, 1, None))
    speakers = np.repeat(np.arange(3), 2)
    first, second = scoring.pair_indices(6)
    results = stress_test(conditions, clean, speakers[first] == speakers[second], embed=embed, score=score)
    for result, distance in zip(results[1:], distances[1:], strict=True):
        moved[result.family].append(distance)
    assert distances[0] == 0
    assert 0 < moved["white noise"][0] < moved["white noise"][1]
    assert moved["cut"][0] > 0
    assert moved["cut"][1] == 0  # all are shorter than 5 s, and said so
    assert results[-1].condition == "cut to 5 s (6 of 6 recordings are shorter)"
    assert results[-1].eer == results[0].eer


def test_workers_disturb_as_the_main_process_does(tmp_path: Path) -> None:
    rows = tuple(
        Utterance(str(recording(tmp_path / f"{pitch}.wav", pitch)), str(pitch), f"{pitch}.wav") for pitch in (90, 150)
    )
    data = DataList("made.tsv", rows)
    (condition,) = make_conditions({"babble": [5]}, Setting(data, [RATE, RATE], RATE, 1, None))
    dataset = EvaluationDataset(data, sample_rate=RATE, min_seconds=0.5, max_seconds=9, transform=condition.transform)
    tables = [
        table_of(embed_dataset(tiny_model(), dataset, device=torch.device("cpu"), batch_seconds=9, num_workers=num), 2)
        for num in (0, 1)
    ]
    np.testing.assert_array_equal(*tables)
