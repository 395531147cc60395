"""What `python -m speaker_id.extract` writes: the same, however many processes did it and however often it was cut."""

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from commands.running import Finished, contents, run_apart, run_forked, run_here
from inference.tiny_model import RATE, recording, tiny_bundle, tiny_model
from speaker_id import audio, build, extract, scoring
from speaker_id.commandline import check_overrides
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.parts import ExtractionFolder

SECONDS = [0.6, 1.0, 0.7, 0.6, 2.31, 1.04, 0.7, 0.6, 0.7, 1.0, 0.9]
RESULTS = ("embeddings.npy", "index.tsv", "extraction.json")


class Given(NamedTuple):
    folder: Path
    arguments: list[str]

    @property
    def listed(self) -> Path:
        return self.folder / "list.tsv"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """A model, recordings of different lengths and a list; parts of two rows."""
    folder = tmp_path_factory.mktemp("given")
    tiny_bundle(folder / "model")
    for row, seconds in enumerate(SECONDS):
        recording(folder / f"{row}.wav", 100 + 17 * row, seconds)
    (folder / "list.tsv").write_text("".join(f"{row}.wav\tspeaker {row % 3}\n" for row in range(len(SECONDS))))
    options = [f"checkpoint={folder}/model", f"data.list={folder}/list.tsv", "data.num_workers=0", "part_rows=2"]
    return Given(folder, [*options, "device=cpu"])


@pytest.fixture(scope="module")
def done(given: Given, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, uninterrupted."""
    folder = tmp_path_factory.mktemp("done") / "out"
    finished = run_here("extract", *given.arguments, f"output={folder}")
    assert finished.status == 0, finished.out
    assert f"11 embeddings of 12 numbers: {folder}/embeddings.npy" in finished.out
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def assert_same(folder: Path, done: Path) -> None:
    """To the last bit."""
    for name in RESULTS:
        assert (folder / name).read_bytes() == (done / name).read_bytes(), name
    assert {path.name for path in folder.iterdir()} <= {*RESULTS, "extract.log"}


def one_error(finished: Finished, *parts: str) -> None:
    assert finished.status == 1, finished.out
    errors = [line for line in finished.out.splitlines() if " INFO " not in line and not line.startswith("embedding")]
    assert len(errors) == 1, finished.out
    for part in (" ERROR ", *parts):
        assert part in errors[0]


# --- what it writes ---------------------------------------------------------------------------------------------------


def test_every_row_is_the_embedding_of_the_recording_that_the_index_names(done: Path, given: Given) -> None:
    matrix, index = np.load(done / "embeddings.npy"), table(done / "index.tsv")
    assert [line["name"] for line in index] == [f"{row}.wav" for row in range(11)]
    assert [line["row"] for line in index] == [str(row) for row in range(11)]
    assert [line["label"] for line in index] == [f"speaker {row % 3}" for row in range(11)]
    assert [float(line["seconds"]) for line in index] == [0.6, 1.0, 0.7, 0.6, 2.3, 1.0, 0.7, 0.6, 0.7, 1.0, 0.9]
    embedder = ModelEmbedder(tiny_model())
    alone = np.concatenate([embedder([audio.load(line["path"], RATE)]) for line in index])
    np.testing.assert_allclose(scoring.normalise(matrix), alone, atol=1e-5)


def test_the_folder_holds_nothing_else(done: Path) -> None:
    assert {path.name for path in done.iterdir()} == {*RESULTS, "extract.log"}


def test_a_list_of_paths_alone_will_do_and_rows_can_be_of_unit_length(given: Given, tmp_path: Path, done: Path) -> None:
    (tmp_path / "paths.txt").write_text("3.wav\n4.wav\tann\n")
    arguments = [*given.arguments, f"data.list={tmp_path}/paths.txt", f"data.root={given.folder}", "normalise=true"]
    finished = run_here("extract", *arguments, f"output={tmp_path}/out")
    assert finished.status == 0, finished.out
    assert [(line["name"], line["label"]) for line in table(tmp_path / "out" / "index.tsv")] == [
        ("3.wav", ""),
        ("4.wav", "ann"),
    ]
    expected = scoring.normalise(np.load(done / "embeddings.npy")[3:5])
    np.testing.assert_allclose(np.load(tmp_path / "out" / "embeddings.npy"), expected, atol=1e-5)


def test_parquet_has_the_same_rows(given: Given, tmp_path: Path, done: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run_here("extract", *given.arguments, "format=parquet", f"output={tmp_path}/out").status == 0
    columns = parquet.read_table(tmp_path / "out" / "embeddings.parquet").to_pydict()
    np.testing.assert_array_equal(np.array(columns["embedding"], np.float32), np.load(done / "embeddings.npy"))
    for name, values in columns.items():
        if name != "embedding":
            kinds = [str(value) if name != "seconds" else f"{value:.6g}" for value in values]
            assert kinds == [line[name] for line in table(done / "index.tsv")], name


# --- many processes, many starts --------------------------------------------------------------------------------------


def as_rank(monkeypatch: pytest.MonkeyPatch, number: int, world: int) -> None:
    for name, value in {"RANK": number, "WORLD_SIZE": world, "LOCAL_RANK": number}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 0, 1)])
def test_ranks_of_a_launcher_share_the_list_and_the_last_one_joins_it(
    order: tuple[int, ...], given: Given, tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, rank in enumerate(order):
        assert not (tmp_path / "embeddings.npy").exists()
        as_rank(monkeypatch, rank, len(order))
        finished = run_here("extract", *given.arguments, f"output={tmp_path}")
        assert finished.status == 0, finished.out
        is_last = place == len(order) - 1
        shown = [] if rank > 0 else ["11 embeddings of 12 numbers" if is_last else "the one that ends last joins"]
        assert [line for line in finished.out.splitlines() if "INFO" in line or "WARNING" in line] == [
            line for line in finished.out.splitlines() if any(words in line for words in shown)
        ]
    assert_same(tmp_path, done)


def interrupted_after(num_parts: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Finished:
    put, kept = ExtractionFolder.put, []

    def interrupting(self: ExtractionFolder, number: int, content: bytes) -> None:
        if len(kept) == num_parts:
            raise KeyboardInterrupt
        put(self, number, content)
        kept.append(number)

    with monkeypatch.context() as patched:
        patched.setattr(ExtractionFolder, "put", interrupting)
        return run_here("extract", *arguments)


def test_a_run_that_was_cut_twice_goes_on_with_other_ranks_and_ends_the_same(
    given: Given, tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*given.arguments, f"output={tmp_path}"]
    cut = interrupted_after(2, monkeypatch, *arguments)
    assert cut.status == 130
    assert f"2 of 6 parts are kept; go on with output={tmp_path}" in cut.out
    kept = contents(tmp_path / "parts")
    assert len(kept) == 2
    as_rank(monkeypatch, 1, 2)
    assert interrupted_after(1, monkeypatch, *arguments).status == 130
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    assert kept.items() <= contents(tmp_path / "parts").items()
    assert len(contents(tmp_path / "parts")) == 3
    assert run_here("extract", *arguments).status == 0
    assert_same(tmp_path, done)


def test_a_run_killed_while_joining_is_joined_by_the_next(
    given: Given, tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(ExtractionFolder, "finish", lambda self, counts: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run_here("extract", *given.arguments, f"output={tmp_path}").status == 130
    assert len(contents(tmp_path / "parts")) == 6
    assert run_here("extract", *given.arguments, f"output={tmp_path}").status == 0
    assert_same(tmp_path, done)


def test_what_is_complete_is_not_done_again(given: Given, done: Path) -> None:
    before = {name: (done / name).stat().st_mtime_ns for name in RESULTS}
    again = run_here("extract", *given.arguments, "num_processes=4", f"output={done}")
    assert again.status == 0
    assert "11 embeddings of 12 numbers" in again.out
    assert {name: (done / name).stat().st_mtime_ns for name in RESULTS} == before


@pytest.mark.slow
def test_processes_of_this_machine_end_the_same(given: Given, tmp_path: Path, done: Path) -> None:
    finished = run_here("extract", *given.arguments, "num_processes=2", f"output='{tmp_path}/a=b, c'")
    assert finished.status == 0, finished.out
    assert_same(tmp_path / "a=b, c", done)


@pytest.mark.nightly  # what a failing process leads to is tried without importing torch in every run: test_ranks.py
@pytest.mark.slow
def test_a_process_of_this_machine_that_fails_tells_why(given: Given, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound\n")
    rows = [f"{given.folder}/{row}.wav\n" for row in range(2)]
    (tmp_path / "list.tsv").write_text("".join([*rows, "bad.wav\n"]))  # in the second process's part
    arguments = [*given.arguments, f"data.list={tmp_path}/list.tsv", "num_processes=2", f"output={tmp_path}/out"]
    message = f"process 2 of 2 stopped: {tmp_path}/list.tsv, utterance 3 (bad.wav): "
    one_error(run_here("extract", *arguments), message)


@pytest.mark.nightly
def test_a_ray_cluster_ends_the_same(given: Given, tmp_path: Path, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray keeps a token there
    arguments = [*given.arguments, "runner=ray", f"output={tmp_path}/out"]
    finished = run_apart("extract", *arguments, cwd=tmp_path)
    assert finished.status == 0, finished.out + finished.err
    assert_same(tmp_path / "out", done)
    (tmp_path / "bad.wav").write_text("no sound\n")
    (tmp_path / "list.tsv").write_text("bad.wav\n")
    arguments = [*given.arguments, f"data.list={tmp_path}/list.tsv", "runner=ray", f"output={tmp_path}/bad"]
    one_error(run_apart("extract", *arguments, cwd=tmp_path), "list.tsv, utterance 1 (bad.wav): ", "known format")


# --- recordings that cannot be embedded -------------------------------------------------------------------------------


@pytest.fixture
def spoiled(given: Given, tmp_path: Path) -> Path:
    """A list with three recordings that cannot be embedded."""
    (tmp_path / "text.wav").write_text("no sound\n")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE, np.float32), RATE)
    good = [f"{given.folder}/{row}.wav\n" for row in range(4)]
    rows = [good[0], "text.wav\n", good[1], "silent.wav\n", "nowhere.wav\n", *good[2:]]
    (tmp_path / "list.tsv").write_text("".join(rows))
    return tmp_path / "list.tsv"


def test_skipped_recordings_are_listed_counted_and_leave_no_gap(
    spoiled: Path, given: Given, tmp_path: Path, done: Path
) -> None:
    arguments = [*given.arguments, f"data.list={spoiled}", "on_error=skip", f"output={tmp_path}/out"]
    finished = run_here("extract", *arguments)
    assert finished.status == 0, finished.out
    assert f"WARNING 3 recordings were skipped: {tmp_path}/out/skipped.tsv" in finished.out
    assert "4 embeddings of 12 numbers" in finished.out
    found = np.load(tmp_path / "out" / "embeddings.npy")
    np.testing.assert_allclose(found, np.load(done / "embeddings.npy")[:4], rtol=1e-4, atol=1e-5)
    assert [line["row"] for line in table(tmp_path / "out" / "index.tsv")] == ["0", "1", "2", "3"]
    skipped = table(tmp_path / "out" / "skipped.tsv")
    assert [(line["utterance"], line["name"]) for line in skipped] == [
        ("2", "text.wav"), ("4", "silent.wav"), ("5", "nowhere.wav"),
    ]  # fmt: skip
    assert ["known format" in skipped[0]["reason"], "silent" in skipped[1]["reason"]] == [True, True]


def test_a_recording_that_stops_the_run_can_be_skipped_by_the_next_start(
    spoiled: Path, given: Given, tmp_path: Path
) -> None:
    spoiled.write_text(spoiled.read_text().replace("nowhere.wav\n", ""))
    arguments = [*given.arguments, f"data.list={spoiled}", "part_rows=1", f"output={tmp_path}/out"]
    stopped = run_here("extract", *arguments)
    one_error(stopped, f"{spoiled}, utterance 2 (text.wav): ", "known format")
    assert f"1 of 6 parts are kept; go on with output={tmp_path}/out" in stopped.out
    finished = run_here("extract", *arguments, "on_error=skip")
    assert finished.status == 0, finished.out
    assert "2 recordings were skipped" in finished.out


def test_a_list_without_a_usable_recording_is_an_error(spoiled: Path, given: Given, tmp_path: Path) -> None:
    spoiled.write_text("text.wav\nnowhere.wav\n")
    arguments = [*given.arguments, f"data.list={spoiled}", "on_error=skip", f"output={tmp_path}/out"]
    finished = run_here("extract", *arguments)
    assert finished.status == 1
    assert f"no recording of {spoiled} could be embedded; {tmp_path}/out/skipped.tsv says why" in finished.out


# --- mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES = {
    "data.list=nowhere.tsv": "nowhere.tsv: no such data list",
    "checkpoint=nowhere": "nowhere: no such file or folder",
    "format=parket": "format=parket does not exist; did you mean 'parquet'? there are: npy, parquet",
    "on_error=skipp": "on_error=skipp does not exist; did you mean 'skip'? there are: stop, skip",
    "runner=rai": "runner=rai does not exist; did you mean 'ray'? there are: local, ray",
    "part_rows=0": "part_rows=0: give a whole number from 1 on",
    "num_processes=1.5": "num_processes=1.5: give a whole number from 1 on",
    "data.batch_seconds=0": "data.batch_seconds=0: give some seconds",
    "data.max_seconds=0.3": "data.min_seconds=0.5 and data.max_seconds=0.3 must rise",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one_error(run_here("extract", *given.arguments, mistake, "output=out"), MISTAKES[mistake])
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("key", ["checkpoint", "data.list"])
def test_what_must_be_given_is_asked_for(
    key: str, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rest = [argument for argument in given.arguments if not argument.startswith(f"{key}=")]
    assert run_here("extract", *rest) == (2, f"error: {key} is missing; give {key}=VALUE\n", "")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_another_run_is_refused_and_left_alone(given: Given, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    one_error(run_here("extract", *given.arguments, f"output={tmp_path}"), "holds other files (checkpoints)")
    assert set(contents(tmp_path)) == {"checkpoints/best.ckpt", "extract.log"}


def test_another_option_is_refused_in_the_folder_of_an_extraction(given: Given, done: Path) -> None:
    before = {name: (done / name).read_bytes() for name in RESULTS}
    refused = run_here("extract", *given.arguments, "data.max_seconds=1.5", f"output={done}")
    one_error(refused, "holds an extraction with data.max_seconds=60.0, now it is 1.5: go on with the same, or give")
    assert {name: (done / name).read_bytes() for name in RESULTS} == before


def test_ranks_need_one_folder_and_start_no_processes(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    as_rank(monkeypatch, 0, 2)
    one_error(run_here("extract", *given.arguments), "2 processes need one folder for all: give output=FOLDER")
    both = run_here("extract", *given.arguments, "num_processes=2", f"hydra.run.dir={tmp_path}/out")
    one_error(both, "2 processes were launched already: leave num_processes and runner as they are")


def test_several_runs_cannot_share_a_folder(given: Given, tmp_path: Path) -> None:
    sweep = ["data.max_seconds=1,2", f"output={tmp_path}/out", f"hydra.sweep.dir={tmp_path}/sweep"]
    finished = run_here("extract", "-m", *given.arguments, *sweep)
    assert finished.status == 1
    assert "output= is one folder, and -m makes several runs: give hydra.sweep.dir=FOLDER" in finished.out


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_is_done_is_kept(given: Given, tmp_path: Path) -> None:
    arguments = [*given.arguments, "part_rows=10", f"output={tmp_path}"]
    finished = run_forked("extract", *arguments, cwd=given.folder, max_file_bytes=1024)
    one_error(finished, f"could not write {tmp_path}/parts/000000.npz: File too large")
    assert f"0 of 2 parts are kept; go on with output={tmp_path}" in finished.out
    assert finished.err == ""
    assert not list(tmp_path.rglob("*.part"))
    assert run_here("extract", *arguments).status == 0


def test_every_option_that_is_documented_exists() -> None:
    texts = [(build.CONF_DIR / "extract.yaml").read_text(encoding="utf-8").partition("defaults:")[0], extract.__doc__]
    named = {key for text in texts for key in re.findall(r" ([a-z_.]+)=", str(text))}
    assert named == {"checkpoint", "data.list", "output"}
    check_overrides("extract", [f"{key}=x" for key in named], complete=True)
