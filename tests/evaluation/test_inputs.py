from pathlib import Path

import pytest

from speaker_id.data.lists import Utterance
from speaker_id.errors import ConfigError, DataError
from speaker_id.evaluation.inputs import InputFiles, Inputs, read_inputs

LIST = "a/1.wav\tann\na/2.wav\tann\nb.wav\tbob\n"
TRIALS = "1 a/1.wav a/2.wav\n0 b.wav a/1.wav\n"
MODELS = "# who is enrolled with what\n\nann\ta/1.wav\nann\tb.wav\nbob\tb.wav\n"


def folder_of(folder: Path, **texts: str) -> Path:
    """Recordings a/1.wav … in `folder`, and text files beside them."""
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.wav", "a/2.wav", "b.wav"):
        (folder / name).touch()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def inputs(**paths: Path) -> Inputs:
    return read_inputs(InputFiles(**{"test_list": None, **{name: str(path) for name, path in paths.items()}}))


def test_nothing_to_evaluate_is_refused_with_both_ways() -> None:
    with pytest.raises(ConfigError, match=r"data.test_list=FILE .* trials=FILE"):
        inputs()


def test_a_list_alone_means_all_pairs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", list=LIST)
    read = inputs(test_list=folder / "list.txt")
    assert [utterance.label for utterance in read.data.utterances] == ["ann", "ann", "bob"]
    assert read.trials is None
    assert read.labelled


def test_a_list_that_makes_no_trials_of_both_kinds_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", once="a/1.wav\tann\nb.wav\tbob\n", one="a/1.wav\tann\na/2.wav\tann\n")
    for name, reason in (("once", "no same-speaker trial"), ("one", "1 speaker")):
        with pytest.raises(DataError, match=reason):
            inputs(test_list=folder / f"{name}.txt")


def test_trials_alone_name_the_recordings_themselves_each_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", trials=TRIALS + TRIALS + "0 a/2.wav b.wav\n")
    read = inputs(trials=folder / "trials.txt")
    assert read.data.utterances == (
        Utterance(str(folder / "a/1.wav"), "", "a/1.wav"),
        Utterance(str(folder / "b.wav"), "", "b.wav"),
        Utterance(str(folder / "a/2.wav"), "", "a/2.wav"),
    )
    assert read.trials is not None
    assert read.trials.is_target.tolist() == [True, False, True, False, False]
    assert not read.labelled


def test_the_root_says_where_the_names_of_trials_start(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x")
    (tmp_path / "trials.txt").write_text(TRIALS, encoding="utf-8")
    assert inputs(trials=tmp_path / "trials.txt", root=folder).data.utterances[0].path == str(folder / "a/1.wav")
    with pytest.raises(DataError, match=r"trials.txt: no such recording: .*a/1.wav; .* data.root=FOLDER"):
        inputs(trials=tmp_path / "trials.txt")


def test_a_list_with_trials_gives_their_names_a_meaning(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", list=LIST)
    (tmp_path / "trials.txt").write_text(TRIALS, encoding="utf-8")
    read = inputs(trials=tmp_path / "trials.txt", test_list=folder / "list.txt")
    assert read.data.speakers == ["ann", "bob"]
    assert read.labelled


@pytest.mark.parametrize("given", ["trials", "test_list"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, given: str) -> None:
    with pytest.raises(DataError, match=r"none\.txt"):
        inputs(**{given: tmp_path / "none.txt"})


# --- models and cohort ------------------------------------------------------------------------------------------------


def test_models_have_several_recordings_and_one_may_be_in_two_models(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", models=MODELS, trials="1 ann a/2.wav\n")
    read = inputs(trials=folder / "trials.txt", models=folder / "models.txt")
    assert read.models is not None
    assert read.models.members == {"ann": ["a/1.wav", "b.wav"], "bob": ["b.wav"]}
    assert [utterance.name for utterance in read.data.utterances] == ["a/1.wav", "b.wav", "a/2.wav"]


def test_models_without_trials_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", models=MODELS, list=LIST)
    with pytest.raises(ConfigError, match=r"data.models .* trials=FILE"):
        inputs(test_list=folder / "list.txt", models=folder / "models.txt")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ann a/1.wav\n", r"models.txt:1: needs a model, a tab and a path, got 'ann a/1.wav'"),
        ("ann\ta/1.wav\n\tb.wav\n", r"models.txt:2: needs a model"),
        ("ann\ta/1.wav\tx\n", r"models.txt:1: needs a model"),
        ("ann\ta/1.wav\nann\ta/1.wav\n", r"models.txt:2: ann already has a/1.wav"),
        ("# nobody\n", r"models.txt: no model in it"),
    ],
)
def test_a_malformed_list_of_models_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    folder = folder_of(tmp_path / "x", models=text, trials="1 ann a/2.wav\n")
    with pytest.raises(DataError, match=reason):
        inputs(trials=folder / "trials.txt", models=folder / "models.txt")


def test_models_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", trials="1 ann a/2.wav\n")
    (folder / "latin.txt").write_bytes(b"J\xfcrgen\ta/1.wav\n")
    for name, reason in (("none", "cannot read the models"), ("latin", "not UTF-8")):
        with pytest.raises(DataError, match=rf"{name}\.txt.*{reason}"):
            inputs(trials=folder / "trials.txt", models=folder / f"{name}.txt")


def test_a_cohort_is_a_data_list_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "x", list=LIST, cohort="b.wav\tcy\n")
    read = inputs(test_list=folder / "list.txt", cohort_list=folder / "cohort.txt")
    assert read.cohort is not None
    assert [utterance.label for utterance in read.cohort.utterances] == ["cy"]
    assert len(read.data.utterances) == 3
