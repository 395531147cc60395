"""The numbers of an evaluation: a table to read, JSON and tab-separated scores to compute with."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import DataError
from speaker_id.report.evaluation import Figure
from speaker_id.report.files import whole_file
from speaker_id.report.words import words_of

if TYPE_CHECKING:
    from rich.table import Table


def metrics_table(figures: Sequence[Figure], *, num_targets: int, num_nontargets: int) -> "Table":
    """A two-column table to print, in words; rates in per cent, 95 % intervals where there are any."""
    from rich.table import Table

    table = Table("measure", "value", title="Speaker verification")
    for figure in figures:
        table.add_row(words_of(figure.name).label, _printed(figure))
    table.add_section()
    table.add_row("trials", f"{num_targets + num_nontargets:,}")
    table.add_row("of one speaker (target)", f"{num_targets:,}")
    table.add_row("of two speakers (nontarget)", f"{num_nontargets:,}")
    return table


def _printed(figure: Figure) -> str:
    form = ".2%" if words_of(figure.name).kind in ("rate", "share") else ".4f"
    if figure.interval is None:
        return f"{figure.value:{form}}"
    low, high = figure.interval
    return f"{figure.value:{form}}  (95 % interval {low:{form}} to {high:{form}})"


def write_metrics_json(
    path: str | os.PathLike[str],
    figures: Sequence[Figure],
    *,
    num_targets: int,
    num_nontargets: int,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write each figure under its name and `<name>_interval` as [low, high] or null, the counts, then `extra`.

    Raises `DataError` when a name comes twice or JSON cannot hold a value, `SpeakerIdError` when the disk refuses.
    """
    values: dict[str, Any] = {}
    for figure in figures:
        interval = None if figure.interval is None else list(figure.interval)
        _add(path, values, {figure.name: figure.value, f"{figure.name}_interval": interval})
    num_trials = num_targets + num_nontargets
    _add(path, values, {"num_trials": num_trials, "num_targets": num_targets, "num_nontargets": num_nontargets})
    _add(path, values, extra or {})
    try:
        text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a value cannot be written as JSON: {error}") from error
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _add(path: str | os.PathLike[str], values: dict[str, Any], more: Mapping[str, Any]) -> None:
    if repeated := sorted(values.keys() & more.keys()):
        raise DataError(f"{path}: {', '.join(repeated)} would be written twice")
    values.update(more)


def write_scores_tsv(
    path: str | os.PathLike[str],
    enrol_names: Iterable[str],
    test_names: Iterable[str],
    scores: ArrayLike,
    is_target: ArrayLike,
    *,
    enrol_speakers: Iterable[str] | None = None,
    test_speakers: Iterable[str] | None = None,
) -> None:
    """Write `enrol<tab>test<tab>score<tab>label` with a header, label `target` or `nontarget`, one trial a line.

    With both speakers, the columns `enrol_speaker` and `test_speaker` follow: comparing two systems needs them. Names
    may come from generators: nothing is collected. Nine digits keep a float32 score exactly. Raises `DataError` for a
    name that holds a tab or a line break, or columns of different length.
    """
    if (enrol_speakers is None) != (test_speakers is None):
        raise ValueError("give the speakers of both sides, or of none")
    names, columns = ["enrol", "test", "score", "label"], [enrol_names, test_names, _score_and_label(scores, is_target)]
    if enrol_speakers is not None and test_speakers is not None:
        names, columns = [*names, "enrol_speaker", "test_speaker"], [*columns, enrol_speakers, test_speakers]
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(names) + "\n")
        try:
            for fields in zip(*columns, strict=True):
                line = "\t".join(fields)
                if line.count("\t") != len(names) - 1 or "\n" in line or "\r" in line:
                    bad = next(field for field in (*fields[:2], *fields[3:]) if any(sign in field for sign in "\t\n\r"))
                    raise DataError(f"{path}: {bad!r} holds a tab or a line break: rename the recording")
                file.write(line + "\n")
        except ValueError as error:  # from zip
            raise DataError(f"{path}: names, scores and labels differ in number: {error}") from error


def _score_and_label(scores: ArrayLike, is_target: ArrayLike) -> Iterable[str]:
    for score, flag in zip(np.asarray(scores), np.asarray(is_target), strict=True):
        yield f"{score:.9g}\t{'target' if flag else 'nontarget'}"
