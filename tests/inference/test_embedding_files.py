import csv
import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.test_parts import part_of
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import ConfigError, SpeakerIdError
from speaker_id.inference import embedding_files
from speaker_id.inference.embedding_files import write
from speaker_id.inference.parts import Part
from speaker_id.inference.recordings import Failure

LABELS = ["ann", "bob", "", "ann", "say 'hi' \"you\""]
DATA = DataList("x.tsv", tuple(Utterance(f"/d/{row} é.wav", label, f"{row} é.wav") for row, label in enumerate(LABELS)))
FAILURE = Failure(2, "2 é.wav is silent")
PARTS = [part_of(0, 1, failures=(FAILURE,)), part_of(3, 4)]
WHOLE = np.array([[0, 0], [1, -1], [3, -3], [4, -4]], np.float32)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_npy_rows_are_the_lists_without_what_was_skipped_and_the_index_counts_them(tmp_path: Path) -> None:
    assert write(tmp_path, PARTS, DATA, form="npy", dim=2) == (4, 1)
    matrix = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, WHOLE)
    index = table(tmp_path / "index.tsv")
    assert [(line["row"], line["name"], line["label"], line["seconds"]) for line in index] == [
        ("0", "0 é.wav", LABELS[0], "0"), ("1", "1 é.wav", LABELS[1], "0.1"),
        ("2", "3 é.wav", LABELS[3], "0.3"), ("3", "4 é.wav", LABELS[4], "0.4"),
    ]  # fmt: skip
    assert index[3]["path"] == "/d/4 é.wav"


def test_the_skipped_are_listed_with_their_place_and_reason(tmp_path: Path) -> None:
    write(tmp_path, PARTS, DATA, form="npy", dim=2)
    assert table(tmp_path / "skipped.tsv") == [
        {"utterance": "3", "name": "2 é.wav", "path": "/d/2 é.wav", "reason": "2 é.wav is silent"}
    ]
    write(tmp_path / "none", PARTS[1:], DATA, form="npy", dim=2)
    assert not (tmp_path / "none" / "skipped.tsv").exists()


def test_parquet_holds_the_same_in_one_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert write(tmp_path, PARTS, DATA, form="parquet", dim=2) == (4, 1)
    columns = parquet.read_table(tmp_path / "embeddings.parquet").to_pydict()
    assert columns["row"] == [0, 1, 2, 3]
    assert columns["name"] == ["0 é.wav", "1 é.wav", "3 é.wav", "4 é.wav"]
    assert columns["path"] == [f"/d/{name}" for name in columns["name"]]
    assert columns["label"] == ["ann", "bob", "ann", LABELS[4]]
    assert columns["seconds"] == [0.0, 0.1, 0.3, 0.4]
    assert columns["embedding"] == WHOLE.tolist()
    assert (tmp_path / "skipped.tsv").exists()


def test_parquet_has_no_label_where_the_list_has_none(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path, [part_of(1, 2)], DATA, form="parquet", dim=2)
    assert parquet.read_table(tmp_path / "embeddings.parquet")["label"].to_pylist() == ["bob", None]


@pytest.mark.parametrize("form", embedding_files.FILES)
def test_nothing_but_failures_makes_an_empty_table(form: str, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    assert write(tmp_path, [part_of(failures=(FAILURE,))], DATA, form=form, dim=2) == (0, 1)
    if form == "npy":
        assert np.load(tmp_path / "embeddings.npy").shape == (0, 2)


def test_an_npy_header_is_as_long_for_no_row_as_for_billions() -> None:
    header = embedding_files._npy_header
    assert len(header(0, 192)) == len(header(10**12, 192)) == 128


@pytest.mark.parametrize("form", embedding_files.FILES)
def test_a_disk_that_refuses_leaves_the_files_that_were_there(form: str, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")

    def broken() -> Iterator[Part]:
        yield PARTS[0]
        raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path, PARTS, DATA, form=form, dim=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(SpeakerIdError, match=r"could not write .*: No space left on device"):
        write(tmp_path, broken(), DATA, form=form, dim=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_library_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_files, "find_spec", lambda name: None)
    embedding_files.check_library("npy")
    with pytest.raises(ConfigError, match=r"pip install 'speaker-id\[parquet\]', or take format=npy"):
        embedding_files.check_library("parquet")
