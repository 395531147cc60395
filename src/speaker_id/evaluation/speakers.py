"""What is known about speakers: a table `speakers.tsv` with the columns speaker, gender, age, ..."""

import csv
import logging
from collections.abc import Iterable
from pathlib import Path

from speaker_id.contracts import as_path
from speaker_id.errors import DataError

logger = logging.getLogger(__name__)

NAME = "speakers.tsv"

Facts = dict[str, dict[str, str]]  # speaker -> {"gender": "f", "age": "12"}


def speaker_facts(given: str | None, *, beside: str, speakers: Iterable[str]) -> Facts:
    """The facts about these speakers, from the table `given`, or else from one beside the data list or a folder above.

    Empty where nothing is known. Raises DataError for a table that cannot be read.
    """
    here = as_path(beside).resolve().parent
    path = as_path(given) if given is not None else next(filter(Path.is_file, (here / NAME, here.parent / NAME)), None)
    if path is None:
        return {}
    known = read_speakers(path)
    facts = {speaker: known[speaker] for speaker in speakers if speaker in known}
    if given is not None and not facts:
        logger.warning("data.speakers=%s knows none of the speakers of %s", given, beside)
    return facts


def read_speakers(path: Path) -> Facts:
    """Read a tab-separated table with a header; the column `speaker` holds the labels of the data lists.

    Empty cells are left out. Raises DataError with the line for a malformed one or a speaker told of twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}); save the table as UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot read the table of speakers ({error}); give another data.speakers=FILE"
        ) from error
    header = rows[0] if rows else []
    if "speaker" not in header or len(set(header)) < len(header):
        raise DataError(f"{path}:1: needs a header of different column names, one of them 'speaker', got {header}")
    place, facts = header.index("speaker"), Facts()
    for number, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(header) or not row[place]:
            raise DataError(f"{path}:{number}: needs {len(header)} columns ({', '.join(header)}), got {row}")
        if row[place] in facts:
            raise DataError(f"{path}:{number}: {row[place]!r} is already told of; one line a speaker")
        facts[row[place]] = {name: cell for name, cell in zip(header, row, strict=True) if cell and name != "speaker"}
    return facts
