from pathlib import Path

import pytest

from speaker_id.errors import DataError
from speaker_id.evaluation.speakers import read_speakers, speaker_facts

TABLE = "gender\tspeaker\tage\nf\tann\t12\n\nm\tbob\t\n"


def table(path: Path, text: str = TABLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def facts(lists: Path, *speakers: str, given: Path | None = None) -> dict[str, dict[str, str]]:
    return speaker_facts(None if given is None else str(given), beside=str(lists), speakers=speakers)


def test_columns_come_in_any_order_and_empty_cells_are_unknown(tmp_path: Path) -> None:
    assert read_speakers(table(tmp_path / "s.tsv")) == {"ann": {"gender": "f", "age": "12"}, "bob": {"gender": "m"}}


def test_the_table_beside_the_list_is_found_then_that_of_the_folder_above(tmp_path: Path) -> None:
    table(tmp_path / "speakers.tsv")
    (tmp_path / "lists").mkdir()
    assert facts(tmp_path / "lists" / "test.tsv", "ann", "eve") == {"ann": {"gender": "f", "age": "12"}}
    table(tmp_path / "lists" / "speakers.tsv", "speaker\tgender\neve\tf\n")
    assert facts(tmp_path / "lists" / "test.tsv", "ann", "eve") == {"eve": {"gender": "f"}}


def test_where_there_is_none_nothing_is_known(tmp_path: Path) -> None:
    assert facts(tmp_path / "a" / "b" / "test.tsv", "ann") == {}


def test_a_given_table_that_knows_nobody_is_worth_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert facts(tmp_path / "test.tsv", "zoe", given=table(tmp_path / "x.tsv")) == {}
    assert "x.tsv knows none of the speakers" in caplog.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "s.tsv:1: needs a header"),
        ("name\tgender\nann\tf\n", "s.tsv:1: needs a header of different column names, one of them 'speaker'"),
        ("speaker\tage\tage\n", "s.tsv:1: needs a header"),
        ("speaker\tgender\nann\n", r"s.tsv:2: needs 2 columns \(speaker, gender\)"),
        ("speaker\tgender\n\tf\n", "s.tsv:2: needs"),
        ("speaker\tgender\nann\tf\nann\tm\n", "s.tsv:3: 'ann' is already told of"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_speakers(table(tmp_path / "s.tsv", text))


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.tsv").write_bytes(b"speaker\tname\nj\tJ\xfcrgen\n")
    for name, reason in (("none", "cannot read the table"), ("latin", "not UTF-8")):
        with pytest.raises(DataError, match=rf"{name}\.tsv.*{reason}"):
            read_speakers(tmp_path / f"{name}.tsv")
