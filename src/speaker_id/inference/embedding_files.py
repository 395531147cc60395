"""Embeddings of a list on disk: a numpy matrix with an index beside it, or one Parquet table."""

import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from speaker_id.data.lists import DataList
from speaker_id.errors import ConfigError
from speaker_id.inference.parts import Counts, Part
from speaker_id.inference.recordings import Failure
from speaker_id.report.files import whole_file

FILES = {"npy": "embeddings.npy", "parquet": "embeddings.parquet"}
INDEX_COLUMNS = ("row", "name", "path", "label", "seconds")
SKIPPED_COLUMNS = ("utterance", "name", "path", "reason")


def check_library(form: str) -> None:
    """Raise ConfigError for a format whose library is missing."""
    if form == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError("format=parquet needs pyarrow: pip install 'speaker-id[parquet]', or take format=npy")


def write(folder: Path, parts: Iterable[Part], data: DataList, *, form: str, dim: int) -> Counts:
    """Join parts, given in the list's order, to the files of a format of FILES; skipped.tsv lists the failed rows.

    A part at a time is in memory. Raises SpeakerIdError when the disk refuses; nothing is then half written.
    """
    failures: list[Failure] = []
    write_table = {"npy": write_npy, "parquet": write_parquet}[form]
    num_embedded = write_table(folder, _noting(parts, failures), data, dim=dim)
    if failures:
        write_skipped(folder / "skipped.tsv", failures, data)
    return Counts(num_embedded, len(failures))


def write_npy(folder: Path, parts: Iterable[Part], data: DataList, *, dim: int) -> int:
    """embeddings.npy, (N, E) float32, and index.tsv, whose `row` is the row there; returns N."""
    num = 0
    with ExitStack() as stack:
        matrix_path, index_path = (
            stack.enter_context(whole_file(folder / name)) for name in (FILES["npy"], "index.tsv")
        )
        matrix = stack.enter_context(matrix_path.open("wb"))
        index = stack.enter_context(_text(index_path))
        index.write(_line(*INDEX_COLUMNS))
        matrix.write(_npy_header(0, dim))
        for part in parts:
            matrix.write(np.ascontiguousarray(part.embeddings, "<f4").tobytes())
            for row, seconds in zip(part.rows.tolist(), part.seconds.tolist(), strict=True):
                utterance = data.utterances[row]
                index.write(_line(num, utterance.name, utterance.path, utterance.label, f"{seconds:.6g}"))
                num += 1
        matrix.seek(0)
        matrix.write(_npy_header(num, dim))
    return num


def write_parquet(folder: Path, parts: Iterable[Part], data: DataList, *, dim: int) -> int:
    """embeddings.parquet: the index's columns and `embedding`, a list of E float32; a row group a part; returns N."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = pa.schema(
        [("row", pa.int64()), ("name", pa.string()), ("path", pa.string()), ("label", pa.string()),
         ("seconds", pa.float64()), ("embedding", pa.list_(pa.float32(), dim))]
    )  # fmt: skip
    num = 0
    with (
        whole_file(folder / FILES["parquet"]) as path,
        path.open("wb") as file,
        ParquetWriter(file, schema, use_dictionary=["label"]) as writer,
    ):
        for part in parts:
            utterances = [data.utterances[row] for row in part.rows.tolist()]
            columns: dict[str, Any] = {
                "row": np.arange(num, num + len(utterances)),
                "name": [utterance.name for utterance in utterances],
                "path": [utterance.path for utterance in utterances],
                "label": [utterance.label or None for utterance in utterances],
                "seconds": part.seconds,
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(part.embeddings.ravel(), pa.float32()), dim),
            }
            writer.write_table(pa.table(columns, schema=schema))
            num += len(utterances)
    return num


def write_skipped(path: Path, failures: Iterable[Failure], data: DataList) -> None:
    with whole_file(path) as partial, _text(partial) as file:
        file.write(_line(*SKIPPED_COLUMNS))
        for row, reason in failures:
            file.write(_line(row + 1, data.utterances[row].name, data.utterances[row].path, reason))


def _noting(parts: Iterable[Part], failures: list[Failure]) -> Iterator[Part]:
    for part in parts:
        failures += part.failures
        yield part


def _npy_header(num: int, dim: int) -> bytes:
    """The first bytes of an npy file; numpy leaves room in it for any number of rows, so that its length is fixed."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (num, dim)})
    return file.getvalue()


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _line(*values: object) -> str:
    """Names of a data list hold neither tabs nor line ends: nothing needs quotes."""
    return "\t".join(map(str, values)) + "\n"
