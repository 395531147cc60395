"""An extraction's folder while work is going on: what it is, and the parts of the list that are done.

extraction.json     checkpoint, list and options: whoever goes on must have the same
parts/000000.npz    what became of the first rows of the list, and so on; gone when all are joined
"""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList
from speaker_id.errors import ConfigError, DataError
from speaker_id.inference.recordings import Failure
from speaker_id.report.files import whole_file

MANIFEST = "extraction.json"
FORMAT = 1  # of the folder


class Part(NamedTuple):
    """What became of consecutive rows of a list, in its order."""

    rows: NDArray[np.int64]  # (n,) of the list, the failed ones left out
    embeddings: FloatArray  # (n, E)
    seconds: NDArray[np.float64]  # (n,) of sound that was embedded
    failures: tuple[Failure, ...]


def to_bytes(part: Part) -> bytes:
    """A part as the content of an npz file."""
    file = io.BytesIO()
    np.savez(
        file,
        rows=part.rows,
        embeddings=part.embeddings,
        seconds=part.seconds,
        failed=np.array([failure.row for failure in part.failures], np.int64),
        reasons=np.array([failure.reason for failure in part.failures], np.str_),
    )
    return file.getvalue()


def from_bytes(content: bytes) -> Part:
    """The inverse of `to_bytes`; raises ValueError for anything else."""
    try:
        with np.load(io.BytesIO(content)) as arrays:
            failures = zip(arrays["failed"].tolist(), arrays["reasons"].tolist(), strict=True)
            found = tuple(Failure(row, reason) for row, reason in failures)
            return Part(arrays["rows"], arrays["embeddings"], arrays["seconds"], found)
    except (KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"not a part of an extraction: {error}") from error


@dataclass(frozen=True)
class Job:
    """What determines the numbers of an extraction, and how they are stored; `options` as the user gives them."""

    checkpoint: str
    fingerprint: str  # of the model
    list: str
    list_digest: str
    num_recordings: int
    dim: int
    options: Mapping[str, str | int | float]  # part_rows among them


class Counts(NamedTuple):
    """What came of the rows of a list."""

    num_embedded: int
    num_skipped: int


def digest(data: DataList) -> str:
    """SHA-256 over names, paths and labels of a list."""
    found = sha256()
    for utterance in data.utterances:
        found.update(
            "\t".join((utterance.name, utterance.path, utterance.label, "\n")).encode(errors="surrogateescape")
        )
    return found.hexdigest()


class ExtractionFolder:
    """The parts of one job. Every file in it is whole or not there, so any number of processes may work in it."""

    def __init__(self, path: Path, job: Job) -> None:
        """Begin in an empty folder, or go on in one of the same job; raises ConfigError for any other folder."""
        self.path = path
        self.job = job
        part_rows = int(job.options["part_rows"])
        self.parts = [
            range(first, min(first + part_rows, job.num_recordings))
            for first in range(0, job.num_recordings, part_rows)
        ]
        others = _contents(path)  # before the manifest: another process may be at the same point
        saved = self._saved()
        if saved is not None:
            self._check_same(saved)
        elif others:
            raise ConfigError(
                f"{path} holds other files ({', '.join(others[:3])}) and no {MANIFEST}: give an empty folder as output="
            )
        else:
            self._save({"complete": False})

    @property
    def complete(self) -> bool:
        """Whether all parts were joined, by whatever process."""
        return bool((self._saved() or {}).get("complete"))

    @property
    def counts(self) -> Counts:
        """What came of it, once complete."""
        saved = self._saved() or {}
        return Counts(*(int(saved[name]) for name in Counts._fields))

    def missing(self) -> list[int]:
        """The numbers of the parts that are not done."""
        if self.complete:
            return []
        done = {path.name for path in (self.path / "parts").glob("*.npz")}
        return [number for number in range(len(self.parts)) if _name(number) not in done]

    def put(self, number: int, content: bytes) -> None:
        """Keep a part, given `to_bytes`; raises SpeakerIdError when the disk refuses."""
        with whole_file(self.path / "parts" / _name(number)) as file:
            file.write_bytes(content)

    def __iter__(self) -> Iterator[Part]:
        """All parts in the list's order; raises DataError naming one that is gone or damaged."""
        for number in range(len(self.parts)):
            path = self.path / "parts" / _name(number)
            try:
                part = from_bytes(path.read_bytes())
            except OSError as error:
                raise DataError(
                    f"{path} cannot be read: {error.strerror or error}; give the same command again"
                ) from error
            except ValueError as error:
                raise DataError(f"{path} is damaged ({error}): delete it, and give the same command again") from error
            yield part

    def finish(self, counts: Counts) -> None:
        """Note that all parts were joined, with what came of it, and remove them."""
        self._save({"complete": True, **counts._asdict()})
        shutil.rmtree(self.path / "parts", ignore_errors=True)  # another process may be at the same

    def _save(self, state: Mapping[str, Any]) -> None:
        content = json.dumps({"format": FORMAT, **asdict(self.job), **state}, indent=2, ensure_ascii=False)
        with whole_file(self.path / MANIFEST) as file:
            file.write_text(content + "\n", encoding="utf-8", errors="surrogateescape")

    def _saved(self) -> dict[str, Any] | None:
        try:
            saved = json.loads((self.path / MANIFEST).read_text(encoding="utf-8", errors="surrogateescape"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(f"{self.path / MANIFEST} is damaged ({error}): give another folder as output=") from error
        except OSError as error:
            raise ConfigError(f"{self.path / MANIFEST} cannot be read: {error.strerror or error}") from error
        if not isinstance(saved, dict) or saved.get("format") != FORMAT:
            raise ConfigError(f"{self.path / MANIFEST} was not written by this version: give another output=")
        return saved

    def _check_same(self, saved: Mapping[str, Any]) -> None:
        job = self.job
        if saved.get("fingerprint") != job.fingerprint:
            self._refuse("checkpoint", saved.get("checkpoint"), job.checkpoint)
        if saved.get("list_digest") != job.list_digest:
            self._refuse("data.list", saved.get("list"), job.list)
        for name, value in job.options.items():
            if (before := saved.get("options", {}).get(name)) != value:
                self._refuse(name, before, value)

    def _refuse(self, name: str, before: Any, now: Any) -> NoReturn:
        difference = "whose content has changed since" if before == now else f"now it is {now}"
        raise ConfigError(
            f"{self.path} holds an extraction with {name}={before}, {difference}: go on with the same, or give another "
            "folder as output="
        )


def _name(number: int) -> str:
    return f"{number:06d}.npz"


def _contents(path: Path) -> list[str]:
    """What lies in a folder besides logs and hidden files."""
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(".") and entry.suffix != ".log")
