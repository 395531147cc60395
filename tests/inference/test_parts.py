import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import ConfigError, DataError
from speaker_id.inference.parts import Counts, ExtractionFolder, Job, Part, digest, from_bytes, to_bytes
from speaker_id.inference.recordings import Failure

JOB = Job("runs/a", "f" * 64, "list.tsv", "d" * 64, 7, 2, {"part_rows": 3, "format": "npy", "data.max_seconds": 60.0})


def part_of(*rows: int, failures: tuple[Failure, ...] = ()) -> Part:
    embeddings = np.array([[row, -row] for row in rows], np.float32).reshape(-1, 2)
    return Part(np.array(rows, np.int64), embeddings, np.array(rows, np.float64) / 10, failures)


@given(st.lists(st.integers(0, 99), unique=True), st.lists(st.tuples(st.integers(0, 99), st.text("aé …'", max_size=9))))
def test_a_part_is_the_same_after_it_was_stored(rows: list[int], failures: list[tuple[int, str]]) -> None:
    part = part_of(*rows, failures=tuple(Failure(*failure) for failure in failures))
    again = from_bytes(to_bytes(part))
    for field in ("rows", "embeddings", "seconds"):
        np.testing.assert_array_equal(getattr(again, field), getattr(part, field))
        assert getattr(again, field).dtype == getattr(part, field).dtype
    assert again.failures == part.failures


def test_the_parts_of_a_list_are_its_rows_in_order(tmp_path: Path) -> None:
    folder = ExtractionFolder(tmp_path, JOB)
    assert folder.parts == [range(0, 3), range(3, 6), range(6, 7)]
    assert folder.missing() == [0, 1, 2]


def test_what_is_done_is_known_to_whoever_opens_the_folder_next(tmp_path: Path) -> None:
    ExtractionFolder(tmp_path, JOB).put(1, to_bytes(part_of(3, 5)))
    again = ExtractionFolder(tmp_path, JOB)
    assert again.missing() == [0, 2]
    again.put(2, to_bytes(part_of(6)))
    again.put(0, to_bytes(part_of(0, 1, 2)))
    assert again.missing() == []
    assert [part.rows.tolist() for part in again] == [[0, 1, 2], [3, 5], [6]]
    assert not again.complete


def test_a_finished_folder_misses_nothing_and_keeps_no_part(tmp_path: Path) -> None:
    folder, other = ExtractionFolder(tmp_path, JOB), ExtractionFolder(tmp_path, JOB)
    folder.put(0, to_bytes(part_of(0, 1, 2)))
    folder.finish(Counts(3, 4))
    for opened in (other, ExtractionFolder(tmp_path, JOB)):
        assert opened.complete
        assert opened.missing() == []
        assert opened.counts == (3, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["extraction.json"]


def test_a_part_half_written_by_a_killed_process_is_not_there(tmp_path: Path) -> None:
    folder = ExtractionFolder(tmp_path, JOB)
    folder.put(0, to_bytes(part_of(0, 1, 2)))
    (tmp_path / "parts" / ".000001.npz.0a1b2c3d.part").write_bytes(b"PK")
    assert ExtractionFolder(tmp_path, JOB).missing() == [1, 2]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", to_bytes(part_of(0))[:300]])
def test_a_damaged_part_is_named(content: bytes, tmp_path: Path) -> None:
    folder = ExtractionFolder(tmp_path, JOB)
    folder.put(0, content)
    with pytest.raises(DataError, match=r"000000.npz is damaged \(.*\): delete it"):
        next(iter(folder))


def test_a_part_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"000000.npz cannot be read: No such file"):
        next(iter(ExtractionFolder(tmp_path, JOB)))


OTHER_JOBS = {
    "checkpoint=runs/a, now it is runs/b": replace(JOB, checkpoint="runs/b", fingerprint="e" * 64),
    "checkpoint=runs/a, whose content has changed since": replace(JOB, fingerprint="e" * 64),
    "data.list=list.tsv, now it is other.tsv": replace(JOB, list="other.tsv", list_digest="e" * 64),
    "data.list=list.tsv, whose content has changed since": replace(JOB, list_digest="e" * 64),
    "format=npy, now it is parquet": replace(JOB, options={**JOB.options, "format": "parquet"}),
    "part_rows=3, now it is 2": replace(JOB, options={**JOB.options, "part_rows": 2}),
    "data.max_seconds=60.0, now it is 9.0": replace(JOB, options={**JOB.options, "data.max_seconds": 9.0}),
}


@pytest.mark.parametrize("difference", OTHER_JOBS)
@pytest.mark.parametrize("finished", [False, True])
def test_another_job_is_refused_with_what_differs(difference: str, finished: bool, tmp_path: Path) -> None:
    folder = ExtractionFolder(tmp_path, JOB)
    if finished:
        folder.finish(Counts(7, 0))
    before = (tmp_path / "extraction.json").read_bytes()
    with pytest.raises(ConfigError, match="go on with the same, or give another folder as output=") as refused:
        ExtractionFolder(tmp_path, OTHER_JOBS[difference])
    assert f"{tmp_path} holds an extraction with {difference}: " in str(refused.value)
    assert (tmp_path / "extraction.json").read_bytes() == before


def test_the_same_model_and_list_at_another_place_go_on(tmp_path: Path) -> None:
    ExtractionFolder(tmp_path, JOB).put(0, to_bytes(part_of(0, 1, 2)))
    moved = replace(JOB, checkpoint="elsewhere/a", list="elsewhere/list.tsv")
    assert ExtractionFolder(tmp_path, moved).missing() == [1, 2]


@pytest.mark.parametrize("other", ["checkpoints", "metrics.json", "parts"])
def test_a_folder_of_something_else_is_refused_and_left_alone(other: str, tmp_path: Path) -> None:
    (tmp_path / other).mkdir()
    with pytest.raises(ConfigError, match=rf"holds other files \({other}\) and no extraction.json: give an empty"):
        ExtractionFolder(tmp_path, JOB)
    assert [path.name for path in tmp_path.iterdir()] == [other]


def test_logs_and_hidden_files_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "extract.log").touch()
    (tmp_path / ".hydra").mkdir()
    assert ExtractionFolder(tmp_path, JOB).missing() == [0, 1, 2]
    assert ExtractionFolder(tmp_path / "new", JOB).missing() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is damaged"), ("[]", "not written by this version"), (json.dumps({"format": 9}), "not written by")],
)
def test_a_manifest_that_says_nothing_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "extraction.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"extraction.json .*{message}.*output="):
        ExtractionFolder(tmp_path, JOB)


def test_the_digest_of_a_list_knows_names_paths_labels_and_order() -> None:
    rows = (Utterance("/a", "ann", "a"), Utterance("/b", "bob", "b"))
    others = [rows[::-1], rows[:1], (rows[0]._replace(label=""), rows[1]), (rows[0]._replace(path="/c"), rows[1])]
    found = {digest(DataList("x.tsv", tuple(utterances))) for utterances in (rows, *others)}
    assert len(found) == 5
    assert digest(DataList("y.tsv", rows)) in found
