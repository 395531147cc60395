import logging
import os
from pathlib import Path

import pytest

from speaker_id.data.lists import (
    DataList,
    Utterance,
    check_speakers,
    check_trials,
    hold_out_speakers,
    read_list,
    write_list,
)
from speaker_id.errors import DataError


def listed(folder: Path, text: str | bytes, *names: str) -> Path:
    """train.tsv with `text` in it, and an (empty) recording for every name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    path = folder / "train.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def made_up(*labels: str) -> DataList:
    return DataList("made.tsv", tuple(Utterance(f"/{i}.wav", label, f"{i}.wav") for i, label in enumerate(labels)))


def test_relative_paths_start_at_the_folder_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = listed(tmp_path, "a/1.wav\tann\nb.wav\tbob\n", "a/1.wav", "b.wav")
    monkeypatch.chdir("/")
    data = read_list(path)
    assert data.source == str(path)
    assert data.utterances == (
        Utterance(str(tmp_path / "a/1.wav"), "ann", "a/1.wav"),
        Utterance(str(tmp_path / "b.wav"), "bob", "b.wav"),
    )


def test_a_list_named_relatively_finds_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(tmp_path, "b.wav\tbob\n", "b.wav")
    monkeypatch.chdir(tmp_path)
    data = read_list("train.tsv")
    monkeypatch.chdir("/")  # workers and later code may stand elsewhere
    assert Path(data.utterances[0].path).is_file()


def test_root_moves_the_start_of_relative_paths_only(tmp_path: Path) -> None:
    other = tmp_path / "corpus"
    listed(other, "", "x.wav")
    (tmp_path / "y.wav").touch()
    path = listed(tmp_path, f"x.wav\tann\n{tmp_path / 'y.wav'}\tbob\n")
    assert [u.path for u in read_list(path, root=other).utterances] == [str(other / "x.wav"), str(tmp_path / "y.wav")]
    with pytest.raises(DataError, match="no such file"):
        read_list(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path, end: str, mark: bytes) -> None:
    text = end.join(["# heading", "", "a.wav\tann", "   ", "b.wav\tbob", "#c.wav\tcy", ""])
    data = read_list(listed(tmp_path, mark + text.encode(), "a.wav", "b.wav"))
    assert [(u.name, u.label) for u in data.utterances] == [("a.wav", "ann"), ("b.wav", "bob")]


def test_the_last_line_needs_no_line_end(tmp_path: Path) -> None:
    assert len(read_list(listed(tmp_path, "a.wav\tann\nb.wav\tbob", "a.wav", "b.wav")).utterances) == 2


def test_labels_are_any_text(tmp_path: Path) -> None:
    text = "录音 一.wav\t张伟\nb.wav\tAnn Lee (mobile)\nc.wav\t007\n"
    data = read_list(listed(tmp_path, text, "录音 一.wav", "b.wav", "c.wav"))
    assert [u.label for u in data.utterances] == ["张伟", "Ann Lee (mobile)", "007"]
    assert data.utterances[0].name == "录音 一.wav"
    assert data.speakers == ["007", "Ann Lee (mobile)", "张伟"]


@pytest.mark.skipif(os.name == "nt", reason="there the backslash is a separator anyway")
def test_a_list_written_on_windows_is_read(tmp_path: Path) -> None:
    data = read_list(listed(tmp_path, "ann\\one.wav\tann\r\n", "ann/one.wav"))
    assert data.utterances == (Utterance(str(tmp_path / "ann/one.wav"), "ann", "ann\\one.wav"),)


@pytest.mark.skipif(os.name == "nt", reason="no such file name there")
def test_a_backslash_that_is_part_of_a_name_stays_one(tmp_path: Path) -> None:
    data = read_list(listed(tmp_path, "a\\b.wav\tann\n", "a\\b.wav", "a/b.wav"))
    assert data.utterances[0].path == str(tmp_path / "a\\b.wav")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.wav ann", "no tab"),
        ("a.wav", "no tab"),
        ("\tann", "exactly a path, a tab and a label"),
        ("  \tann", "exactly a path, a tab and a label"),
        ("a.wav\t", "exactly a path, a tab and a label"),
        ("a.wav\t  ", "exactly a path, a tab and a label"),
        ("a.wav\tann\tfemale", "exactly a path, a tab and a label"),
        ("a.wav\t\tann", "exactly a path, a tab and a label"),
        ("ok.wav\tann", "already stands in line 2"),
        ("./ok.wav\tbob", "already stands in line 2"),
        ("missing.wav\tann", "no such file: .*missing.wav.*data.root"),
        (".\tann", "no such file"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(tmp_path: Path, line: str, reason: str) -> None:
    path = listed(tmp_path, f"# heading\nok.wav\tann\n\n{line}\n", "ok.wav", "a.wav")
    with pytest.raises(DataError, match=reason) as caught:
        read_list(path)
    assert str(caught.value).startswith(f"{path}:4: ")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_a_list_without_utterances_is_refused(tmp_path: Path, text: str) -> None:
    path = listed(tmp_path, text)
    with pytest.raises(DataError, match="no utterance in it") as caught:
        read_list(path)
    assert str(path) in str(caught.value)


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = listed(tmp_path, "张\tann\n".encode("gb18030"))
    for given, reason in [
        (path, "not UTF-8"),
        (tmp_path / "none.tsv", "no such data list"),
        (tmp_path, "is a folder"),
        (path / "inside.tsv", "cannot read the data list"),
    ]:
        with pytest.raises(DataError, match=reason) as caught:
            read_list(given)
        assert str(given) in str(caught.value)


def test_one_speaker_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"made.tsv: 1 speaker \('ann'\) in it, at least 2"):
        check_speakers(made_up("ann", "ann"))
    check_speakers(made_up("ann", "ann"), minimum=1)
    check_speakers(made_up("ann", "ann", "bob", "bob"))


def test_labels_seen_once_are_counted_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_speakers(made_up("ann", "ann", "bob", "cy", "cy", "dee"))
    [record] = caplog.records
    assert "made.tsv: 2 of 4 speakers have one utterance only (the first: 'bob')" in record.getMessage()


def test_speakers_with_two_utterances_each_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_trials(made_up("ann", "ann", "bob", "bob"))
    assert not caplog.records


def test_a_list_without_any_same_speaker_trial_is_refused() -> None:
    with pytest.raises(DataError, match=r"made.tsv: every speaker has one utterance only"):
        check_trials(made_up("ann", "bob", "cy"))
    check_trials(made_up("ann", "bob", "bob"))


def test_a_list_without_any_different_speaker_trial_is_refused() -> None:
    with pytest.raises(DataError, match="1 speaker"):
        check_trials(made_up("ann", "ann", "ann"))


def many_speakers() -> DataList:
    """20 speakers of two utterances, 10 of one."""
    return made_up(*[f"two{i:02}" for i in range(20) for _ in range(2)], *[f"one{i:02}" for i in range(10)])


@pytest.mark.parametrize(("fraction", "held"), [(0.0, 2), (0.05, 2), (0.2, 6), (0.5, 15)])
def test_whole_speakers_are_held_out(fraction: float, held: int) -> None:
    data = many_speakers()
    train, val = hold_out_speakers(data, fraction=fraction, seed=1)
    assert len(val.speakers) == held
    assert not set(train.speakers) & set(val.speakers)
    assert sorted(train.utterances + val.utterances) == sorted(data.utterances)
    assert all(label.startswith("two") for label in val.speakers)
    assert train.source == val.source == data.source


def test_the_seed_alone_says_who_is_held_out() -> None:
    data = many_speakers()
    once, again, other = (hold_out_speakers(data, fraction=0.2, seed=seed)[1] for seed in (1, 1, 2))
    assert once == again
    assert once.speakers != other.speakers
    shuffled = DataList(data.source, data.utterances[::-1])
    assert hold_out_speakers(shuffled, fraction=0.2, seed=1)[1].speakers == once.speakers


def test_a_hold_out_that_leaves_too_little_is_refused() -> None:
    for labels, fraction in [
        (["a", "a", "b", "b", "c", "c"], 0.1),  # one would be left
        (["a", "a", "b", "c", "d", "e"], 0.1),  # only one speaker can make a target trial
        (["a", "a", "b", "b", "c", "c", "d", "d"], 0.9),
        (["a", "b", "c", "d", "e"], 0.1),
    ]:
        with pytest.raises(DataError, match=r"made.tsv: cannot hold .* data.val_list=FILE"):
            hold_out_speakers(made_up(*labels), fraction=fraction, seed=0)
    train, val = hold_out_speakers(made_up("a", "a", "b", "b", "c", "d"), fraction=0.1, seed=0)
    assert (train.speakers, val.speakers) == (["c", "d"], ["a", "b"])


def test_a_written_list_reads_back(tmp_path: Path) -> None:
    listed(tmp_path, "old contents", "录音.wav", "b.wav")
    write_list(tmp_path / "train.tsv", [("录音.wav", "张 伟"), ("b.wav", "bob")])
    assert (tmp_path / "train.tsv").read_bytes() == "录音.wav\t张 伟\nb.wav\tbob\n".encode()
    assert [(u.name, u.label) for u in read_list(tmp_path / "train.tsv").utterances] == [
        ("录音.wav", "张 伟"),
        ("b.wav", "bob"),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.wav", "train.tsv", "录音.wav"]
