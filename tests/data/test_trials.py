from pathlib import Path

import pytest

from speaker_id.data.trials import read_trials
from speaker_id.errors import DataError


def trial_list(folder: Path, text: str | bytes) -> Path:
    path = folder / "trials.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1 a.wav b.wav\n0 a.wav c.wav\n",
        "1 a.wav b.wav\n0 a.wav c.wav",
        "1\ta.wav\tb.wav\r\n0   a.wav c.wav\r\n",
        "\ufeff1 a.wav b.wav\n0 a.wav c.wav\n",
        "a.wav b.wav target\na.wav c.wav nontarget\n",
        "a.wav\tb.wav\ttarget\na.wav\tc.wav\tnontarget\n",
    ],
)
def test_both_layouts_say_the_same(tmp_path: Path, text: str) -> None:
    trials = read_trials(trial_list(tmp_path, text))
    assert trials.enrol == ["a.wav", "a.wav"]
    assert trials.test == ["b.wav", "c.wav"]
    assert trials.is_target.tolist() == [True, False]
    assert trials.is_target.dtype == bool


def test_names_between_tabs_may_hold_spaces(tmp_path: Path) -> None:
    trials = read_trials(trial_list(tmp_path, "1\tAnn Lee/1.wav\tÅsa 李.wav\n0 x y\n"))
    assert trials.enrol == ["Ann Lee/1.wav", "x"]
    assert trials.test == ["Åsa 李.wav", "y"]


def test_recordings_called_1_and_0_are_names_where_the_line_ends_in_a_label(tmp_path: Path) -> None:
    trials = read_trials(trial_list(tmp_path, "1 0 target\n0 2 nontarget\n"))
    assert (trials.enrol, trials.test, trials.is_target.tolist()) == (["1", "0"], ["0", "2"], [True, False])


def test_a_trial_may_occur_twice(tmp_path: Path) -> None:
    assert read_trials(trial_list(tmp_path, "1 a b\n1 a b\n")).enrol == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 a b\n2 a c\n", r":2: expected `1\|0 enrol test`"),
        ("1 a b\n0 a\n", ":2: expected"),
        ("1 a b\n0 a c d\n", ":2: expected"),
        ("1 a b\na c nontarget\n", ":2: expected `1"),
        ("a b target\n0 a c\n", r":2: expected `enrol test target\|nontarget`"),
        ("a b target\na c impostor\n", ":2: expected `enrol"),
        ("1 a b\n\n0 a c\n", ":2: expected"),
        ("1 a b\n0\t\tc\n", ":2: expected"),
        ("0.93 a b\n", r":1: expected `1\|0 enrol test` or `enrol test target\|nontarget`"),
        ("a b\n", ":1: expected"),
        ("1 a b\n0 c c\n", ":2: 'c' against itself: a recording is never compared with itself"),
        ("", "empty"),
        (b"1 a \xff\n", "UTF-8"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = trial_list(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_trials(path)
    assert str(path) in str(caught.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt"):
        read_trials(tmp_path / "nowhere.txt")
