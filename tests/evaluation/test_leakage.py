import logging
from pathlib import Path

import pytest

from inference.tiny_model import recording
from speaker_id.data.fingerprint import Detail, Role, SeenData, fingerprint
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import DataError
from speaker_id.evaluation.leakage import check_leakage
from speaker_id.report.evaluation import Leakage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(6):
        recording(folder / f"{number}.wav", 100 + 20 * number)
    (folder / "copy.wav").write_bytes((folder / "0.wav").read_bytes())
    return folder


@pytest.fixture
def lists(folder: Path) -> "Lists":
    return Lists(folder)


class Lists:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made(self, source: str, **rows: str) -> DataList:
        """`_0="ann"` stands for 0.wav of Ann."""
        names = [(name.strip("_") + ".wav", label) for name, label in rows.items()]
        return DataList(source, tuple(Utterance(str(self.folder / name), label, name) for name, label in names))

    def seen(self, *, role: Role = "training", detail: Detail = "full", complete: bool = True) -> SeenData:
        train = self.made("train.tsv", _0="ann", _1="ann", _2="bob")
        return SeenData((fingerprint(train, detail=detail, role=role),), complete)


def check(data: DataList, seen: SeenData | None, cohort: DataList | None = None, *, allowed: bool = False) -> Leakage:
    return check_leakage(data, seen, cohort, allowed=allowed, model="runs/x")


def test_strangers_pass_without_a_word(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    found = check(lists.made("test.tsv", _3="cy", _4="dee"), lists.seen())
    assert found == Leakage(True, (), (), (), False)
    assert not found.found
    assert not caplog.records


def test_a_training_speaker_stops_the_evaluation_and_says_what_to_do(lists: Lists) -> None:
    with pytest.raises(DataError) as caught:
        check(lists.made("test.tsv", _3="cy", _4="bob"), lists.seen())
    message = str(caught.value)
    assert message.startswith("test.tsv shares with the training of runs/x: 1 speakers (bob). ")
    assert "mean different people, rename them" in message
    assert "allow_leakage=true" in message


@pytest.mark.parametrize(("name", "kind"), [("_1", "recordings"), ("copy", "recordings under another name")])
def test_a_training_recording_stops_it_whatever_it_is_called(lists: Lists, name: str, kind: str) -> None:
    data = lists.made("test.tsv", _3="cy", **{name: "eve"})
    with pytest.raises(DataError, match=rf"shares with the training of runs/x: 1 {kind} \({name.strip('_')}.wav\)\."):
        check(data, lists.seen())


def test_unlabelled_recordings_are_known_by_their_sound(lists: Lists) -> None:
    with pytest.raises(DataError, match=r"1 recordings under another name \(copy.wav\)"):
        check(lists.made("trials.txt", copy="", _5=""), lists.seen())


def test_what_is_allowed_goes_on_with_a_warning_and_stays_known(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    data = lists.made("test.tsv", _1="ann", copy="cy", _5="eve")
    found = check(data, lists.seen(), allowed=True)
    assert found == Leakage(True, ("ann",), ("1.wav",), ("copy.wav",), True)
    assert found.found
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "allow_leakage=true: test.tsv shares with the training of runs/x: 1 speakers (ann), 1 recordings (1.wav), "
        "1 recordings under another name (copy.wav); figures on them are too good"
    )


def test_names_alone_do_not_hear_a_copy(lists: Lists) -> None:
    seen = lists.seen(detail="names")
    assert not check(lists.made("test.tsv", copy="cy", _5="eve"), seen).found
    assert check(lists.made("test.tsv", _1="cy", _5="eve"), seen, allowed=True).recordings == ("1.wav",)


@pytest.mark.parametrize(("complete", "words"), [(None, "nothing of what"), (False, "only in part what")])
def test_what_nobody_can_check_is_a_warning_and_no_verdict(
    lists: Lists, caplog: pytest.LogCaptureFixture, complete: bool | None, words: str
) -> None:
    seen = None if complete is None else lists.seen(complete=False)
    found = check(lists.made("test.tsv", _3="cy", _4="dee"), seen)
    assert not found.checked
    assert not found.found
    assert f"leakage not checked: the checkpoint says {words} it was trained on" in caplog.text


def test_the_validation_list_is_worth_a_note_and_no_stop(lists: Lists, caplog: pytest.LogCaptureFixture) -> None:
    found = check(lists.made("val.tsv", _3="bob", _0="cy"), lists.seen(role="selection", detail="names"))
    assert found.selection == ("bob", "0.wav")
    assert not found.found
    assert "val.tsv shares with the validation list, which chose the best epoch: 1 speakers (bob)" in caplog.text


def test_the_cohort_must_be_of_other_people_too(lists: Lists) -> None:
    cohort = lists.made("cohort.tsv", copy="zoe", _4="yan")
    data = lists.made("test.tsv", _0="cy", _5="yan")
    with pytest.raises(
        DataError, match=r"shares with data.cohort_list: 1 speakers \(yan\), 1 recordings under another"
    ):
        check(data, None, cohort)
    found = check(data, None, cohort, allowed=True)
    assert found.cohort == ("yan", "0.wav")
    assert found.found
    assert (found.speakers, found.recordings, found.audio) == ((), (), ())


def test_a_model_that_was_started_from_another_has_seen_both_lists(lists: Lists) -> None:
    first = fingerprint(lists.made("old.tsv", _4="dee", _5="dee"), detail="full")
    seen = SeenData((*lists.seen().lists, first), complete=True)
    found = check(lists.made("test.tsv", _2="dee", _5="cy", _3="bob"), seen, allowed=True)
    assert found.speakers == ("bob", "dee")
    assert found.recordings == ("2.wav", "5.wav")


def test_only_the_first_few_are_named(lists: Lists) -> None:
    rows = {f"_{number}": f"speaker {number}" for number in range(6)}
    seen = SeenData((fingerprint(lists.made("train.tsv", **rows), detail="names"),), complete=True)
    with pytest.raises(DataError, match=r"6 speakers \(speaker 0, speaker 1, speaker 2, \.\.\.\), 6 recordings"):
        check(lists.made("test.tsv", **rows), seen)
