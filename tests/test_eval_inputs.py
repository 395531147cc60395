from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from speaker_id import eval as evaluation
from speaker_id import scoring
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.data.trials import Trials, read_trials
from speaker_id.errors import ConfigError, DataError


def config(*, trials: Path | None = None, test_list: Path | None = None, root: Path | None = None) -> DictConfig:
    paths = {"trials": trials, "data": {"test_list": test_list, "root": root}}
    return OmegaConf.create(paths)


def folder_of(folder: Path, **texts: str) -> Path:
    """Recordings a/1.wav … in `folder`, and text files beside them."""
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.wav", "a/2.wav", "b.wav"):
        (folder / name).touch()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def unit_rows(num: int, *, seed: int = 0) -> FloatArray:
    return scoring.normalise(np.random.default_rng(seed).normal(size=(num, 5)))


def trials_of(*rows: tuple[str, str, bool]) -> Trials:
    enrol, test, is_target = zip(*rows, strict=True)
    return Trials(list(enrol), list(test), np.array(is_target))


LIST = "a/1.wav\tann\na/2.wav\tann\nb.wav\tbob\n"
TRIALS = "1 a/1.wav a/2.wav\n0 b.wav a/1.wav\n"


def test_nothing_to_evaluate_is_refused_with_both_ways() -> None:
    with pytest.raises(ConfigError, match=r"data.test_list=FILE .* trials=FILE"):
        evaluation.read_inputs(config())


def test_a_list_alone_means_all_pairs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", list=LIST)
    data, trials = evaluation.read_inputs(config(test_list=folder / "list.txt"))
    assert [utterance.label for utterance in data.utterances] == ["ann", "ann", "bob"]
    assert trials is None


def test_a_list_that_makes_no_trials_of_both_kinds_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", once="a/1.wav\tann\nb.wav\tbob\n", one="a/1.wav\tann\na/2.wav\tann\n")
    for name, reason in (("once", "no same-speaker trial"), ("one", "1 speaker")):
        with pytest.raises(DataError, match=reason):
            evaluation.read_inputs(config(test_list=folder / f"{name}.txt"))


def test_trials_alone_name_the_recordings_themselves(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", trials=TRIALS)
    data, trials = evaluation.read_inputs(config(trials=folder / "trials.txt"))
    assert data.utterances == (
        Utterance(str(folder / "a/1.wav"), "", "a/1.wav"),
        Utterance(str(folder / "b.wav"), "", "b.wav"),
        Utterance(str(folder / "a/2.wav"), "", "a/2.wav"),
    )
    assert trials is not None
    assert trials.is_target.tolist() == [True, False]


def test_the_root_says_where_the_names_of_trials_start(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x")
    (tmp_path / "trials.txt").write_text(TRIALS, encoding="utf-8")
    data, _ = evaluation.read_inputs(config(trials=tmp_path / "trials.txt", root=folder))
    assert data.utterances[0].path == str(folder / "a/1.wav")
    with pytest.raises(DataError, match=r"trials.txt: no such recording: .*a/1.wav; .* data.root=FOLDER"):
        evaluation.read_inputs(config(trials=tmp_path / "trials.txt"))


def test_a_list_with_trials_gives_their_names_a_meaning(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", list=LIST)
    (tmp_path / "trials.txt").write_text(TRIALS, encoding="utf-8")
    data, trials = evaluation.read_inputs(config(trials=tmp_path / "trials.txt", test_list=folder / "list.txt"))
    assert data.speakers == ["ann", "bob"]
    assert trials is not None
    scored = evaluation.score_listed(unit_rows(3), data, trials)
    assert (scored.enrol.tolist(), scored.test.tolist()) == ([0, 2], [1, 0])


@pytest.mark.parametrize("given", ["trials", "test_list"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, given: str) -> None:
    with pytest.raises(DataError, match=r"none\.txt"):
        evaluation.read_inputs(config(**{given: tmp_path / "none.txt"}))


def test_every_recording_of_the_trials_is_embedded_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", trials=TRIALS + TRIALS + "0 a/2.wav b.wav\n")
    data = evaluation.list_of(read_trials(folder / "trials.txt"), folder / "trials.txt", None)
    assert [utterance.name for utterance in data.utterances] == ["a/1.wav", "b.wav", "a/2.wav"]


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [2, 0, 1, 0, 2, 2, 1], [1, 1, 1, 0], list(range(6)) * 7])
def test_all_pairs_are_what_two_loops_give(labels: list[int]) -> None:
    rows = unit_rows(len(labels))
    pairs = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    scored = evaluation.score_all_pairs(rows, labels)
    assert list(zip(scored.enrol.tolist(), scored.test.tolist(), strict=True)) == pairs
    assert scored.is_target.tolist() == [labels[i] == labels[j] for i, j in pairs]
    expected = [float(rows[i].astype(np.float64) @ rows[j]) for i, j in pairs]
    np.testing.assert_allclose(scored.scores, expected, atol=1e-6)


def test_all_pairs_stay_in_order_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [row % 3 for row in range(20)]
    whole = evaluation.score_all_pairs(unit_rows(20), labels)
    monkeypatch.setattr("speaker_id.scoring.pairs.BLOCK_SCORES", 60)  # three rows a block
    np.testing.assert_allclose(evaluation.score_all_pairs(unit_rows(20), labels).scores, whole.scores, atol=1e-6)


def test_listed_trials_are_scored_in_their_order() -> None:
    rows = unit_rows(3)
    data = DataList("made.tsv", tuple(Utterance(f"/{name}", "", name) for name in ("x", "y", "z")))
    trials = trials_of(("z", "x", False), ("x", "y", True), ("z", "x", False))
    scored = evaluation.score_listed(rows, data, trials)
    assert (scored.enrol.tolist(), scored.test.tolist()) == ([2, 0, 2], [0, 1, 0])
    np.testing.assert_allclose(scored.scores, [rows[2] @ rows[0], rows[0] @ rows[1], rows[2] @ rows[0]], atol=1e-6)
    assert scored.is_target.tolist() == [False, True, False]


@pytest.mark.parametrize("trial", [("x", "w", True), ("w", "x", True)])
def test_a_trial_with_an_unknown_recording_is_refused(trial: tuple[str, str, bool]) -> None:
    data = DataList("made.tsv", (Utterance("/x", "", "x"), Utterance("/y", "", "y")))
    with pytest.raises(DataError, match=r"the trials name 'w', which made.tsv does not list"):
        evaluation.score_listed(unit_rows(2), data, trials_of(("x", "y", False), trial))


def interval(speakers: list[str], *, seed: int = 1, draws: int = 50, labelled: bool = True) -> Any:
    data = DataList("made.tsv", tuple(Utterance(f"/{i}", label, str(i)) for i, label in enumerate(speakers)))
    scored = evaluation.score_all_pairs(unit_rows(len(speakers)), [data.speakers.index(label) for label in speakers])
    options = OmegaConf.create({"interval_draws": draws, "seed": seed})
    return evaluation.speaker_interval(options, data, scored, all_labelled=labelled)


def test_the_interval_is_drawn_by_seed_and_only_where_speakers_are_known() -> None:
    speakers = [name for name in ("ann", "bob", "cy", "dee", "eve") for _ in range(3)]
    found = interval(speakers)
    assert 0 <= found.low < found.high <= 1
    assert interval(speakers) == found
    assert interval(speakers, seed=2) != found
    assert interval(speakers, draws=0) is None
    assert interval(speakers, labelled=False) is None
