"""Data lists: one utterance a line, `<path>\\t<label>`."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speaker_id.contracts import as_path
from speaker_id.errors import DataError

logger = logging.getLogger(__name__)


class Utterance(NamedTuple):
    """One row of a data list."""

    path: str  # where it lies
    label: str  # who speaks; any text
    name: str  # the path as the list writes it


class DataList(NamedTuple):
    """A data list in memory; `source` is the file, for messages."""

    source: str
    utterances: tuple[Utterance, ...]

    @property
    def speakers(self) -> list[str]:
        """The distinct labels, sorted; a speaker's position is the training label."""
        return sorted({utterance.label for utterance in self.utterances})


def read_list(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    labelled: bool = True,
    existing: bool = True,
) -> DataList:
    """Read `<path>\\t<label>` lines; relative paths resolve against `root`, or else the list's own folder.

    Blank lines and lines that begin with # are passed over. Raises DataError with the line's number for a line
    without a tab, an empty path or label, a path listed twice or a file that is not there. With `labelled=False` a
    line may be a path alone, its label is then empty; with `existing=False` a file may be missing.
    """
    source = as_path(path)
    base = source.resolve().parent if root is None else as_path(root)
    utterances: list[Utterance] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        utterance = _parse(line, base, f"{source}:{number}", labelled=labelled, existing=existing)
        if utterance.path in first_line:
            raise DataError(
                f"{source}:{number}: {utterance.name} already stands in line {first_line[utterance.path]}; "
                "list every recording once"
            )
        first_line[utterance.path] = number
        utterances.append(utterance)
    if not utterances:
        raise DataError(f"{source}: no utterance in it; write one '<path>\\t<label>' a line")
    return DataList(str(source), tuple(utterances))


def _lines(source: Path) -> list[str]:
    try:
        return source.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"{source}: no such data list; write one '<path>\\t<label>' a line") from None
    except IsADirectoryError:
        raise DataError(f"{source}: is a folder; give the data list (a text file, '<path>\\t<label>' a line)") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source}: not UTF-8 text ({error}); save the list as UTF-8 (and is it the list, not a recording?)"
        ) from None
    except OSError as error:
        raise DataError(f"{source}: cannot read the data list: {error.strerror or error}") from error


def _parse(line: str, base: Path, where: str, *, labelled: bool, existing: bool) -> Utterance:
    name, label = (part.strip() for part in line.partition("\t")[::2])
    if "\t" not in line and labelled:
        raise DataError(
            f"{where}: no tab in {line.strip()[:80]!r}; write '<path>\\t<label>': a tab, no comma or spaces, in between"
        )
    if not name or not (label or "\t" not in line) or line.count("\t") > 1:
        raise DataError(f"{where}: needs exactly a path, a tab and a label, got {line.strip()[:80]!r}")
    path = base / name
    if not path.is_file() and "\\" in name:
        path = base / name.replace("\\", "/")  # a list written on Windows
    if existing and not path.is_file():
        raise DataError(
            f"{where}: no such file: {path}; relative paths start at {base} (change that with data.root=FOLDER)"
        )
    return Utterance(str(path), label, name)


def check_speakers(data: DataList, *, minimum: int = 2) -> None:
    """Raise DataError for fewer speakers than a comparison needs; warn of labels seen once."""
    counts = Counter(utterance.label for utterance in data.utterances)
    if len(counts) < minimum:
        raise DataError(
            f"{data.source}: {len(counts)} speaker ({data.utterances[0].label!r}) in it, at least {minimum} are "
            "needed; the label behind the tab must tell the speakers apart"
        )
    once = [label for label, count in counts.items() if count == 1]
    if once:
        logger.warning(
            "%s: %d of %d speakers have one utterance only (the first: %r); they make no same-speaker trial",
            data.source, len(once), len(counts), once[0],
        )  # fmt: skip


def check_trials(data: DataList) -> None:
    """Raise DataError when a list cannot make both kinds of trial."""
    check_speakers(data)
    if len(data.speakers) == len(data.utterances):
        raise DataError(
            f"{data.source}: every speaker has one utterance only, so there is no same-speaker trial; "
            "list at least two recordings of some speakers"
        )


def hold_out_speakers(data: DataList, *, fraction: float, seed: int) -> tuple[DataList, DataList]:
    """Split off a share of the *speakers* for validation: (training list, validation list).

    Only speakers with two or more utterances are drawn, at least two of them, and the two lists share no speaker.
    """
    counts = Counter(utterance.label for utterance in data.utterances)
    eligible = sorted(label for label, count in counts.items() if count > 1)
    wanted = max(2, round(fraction * len(counts)))
    if len(eligible) < 2 or wanted > len(counts) - 2:
        raise DataError(
            f"{data.source}: cannot hold {wanted} of {len(counts)} speakers out ({len(eligible)} have two utterances "
            "or more); add speakers, or list others yourself (for validation: data.val_list=FILE)"
        )
    held = set(np.random.default_rng(seed).permutation(eligible)[:wanted].tolist())
    return _subset(data, held, inside=False), _subset(data, held, inside=True)


def _subset(data: DataList, labels: set[str], *, inside: bool) -> DataList:
    chosen = tuple(utterance for utterance in data.utterances if (utterance.label in labels) == inside)
    return DataList(data.source, chosen)


def write_list(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """Write (path, label) rows as a data list, whole or not at all; makes missing folders. Raises DataError."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text("".join(f"{name}\t{label}\n" for name, label in rows), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot write the data list: {error.strerror or error}; give another path") from error
