"""scores.tsv read again, and the trials of two of them matched."""

import os
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.errors import DataError

COLUMNS = ("enrol", "test", "score", "label")
SPEAKERS = ("enrol_speaker", "test_speaker")
LABELS = {"target": 1, "nontarget": 0}


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The trials of one run, each column (M,); `enrol` and `test` are rows of `names` and `speakers`, both (N,)."""

    source: Path
    names: tuple[str, ...]
    speakers: tuple[str, ...]
    enrol: NDArray[np.intp]
    test: NDArray[np.intp]
    scores: FloatArray
    is_target: NDArray[np.bool_]

    def rows(self, order: NDArray[np.intp]) -> "ScoreTable":
        return replace(
            self,
            enrol=self.enrol[order],
            test=self.test[order],
            scores=self.scores[order],
            is_target=self.is_target[order],
        )

    def trial_speakers(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The number of the speaker on either side of each trial, each (M,)."""
        numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(self.speakers))}
        number = np.array([numbers[speaker] for speaker in self.speakers], np.intp)
        return number[self.enrol], number[self.test]

    def trial(self, row: int) -> str:
        return f"{self.names[self.enrol[row]]} and {self.names[self.test[row]]}"


def read_scores(run: str | os.PathLike[str]) -> ScoreTable:
    """Read RUN/scores.tsv, or the file itself. Raises `DataError` with the line that is malformed.

    A file without speakers is refused too: nothing could be said about other speakers.
    """
    path = Path(run) / "scores.tsv" if Path(run).is_dir() else Path(run)
    columns = _Columns()
    try:
        with path.open(encoding="utf-8") as file:
            places = _places(path, file.readline())
            for number, line in enumerate(file, start=2):
                try:
                    fields = line.rstrip("\n").split("\t")
                    columns.add(*(fields[place] for place in places))
                except (IndexError, KeyError, ValueError) as error:
                    raise DataError(f"{path}, line {number}: not a scored trial: {line.rstrip()!r}") from error
                except DataError as error:
                    raise DataError(f"{path}, line {number}: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: give the folder of an evaluation, which holds scores.tsv") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return columns.table(path)


class _Columns:
    """Trials as they are read: a recording's name and speaker are kept once, however many trials it is in."""

    def __init__(self) -> None:
        self.speakers: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.enrol, self.test, self.scores, self.labels = array("q"), array("q"), array("f"), array("b")

    def add(self, enrol: str, test: str, score: str, label: str, enrol_speaker: str, test_speaker: str) -> None:
        self.scores.append(float(score))
        self.labels.append(LABELS[label])
        self.enrol.append(self._number(enrol, enrol_speaker))
        self.test.append(self._number(test, test_speaker))

    def _number(self, name: str, speaker: str) -> int:
        if not speaker or self.speakers.setdefault(name, speaker) != speaker:
            raise DataError(f"{name!r} needs one speaker, not {self.speakers.get(name, '')!r} and {speaker!r}")
        return self.numbers.setdefault(name, len(self.numbers))

    def table(self, source: Path) -> ScoreTable:
        return ScoreTable(
            source=source,
            names=tuple(self.numbers),
            speakers=tuple(self.speakers.values()),
            enrol=np.array(self.enrol, np.intp),
            test=np.array(self.test, np.intp),
            scores=np.array(self.scores, np.float32),
            is_target=np.array(self.labels, np.bool_),
        )


def _places(path: Path, header: str) -> list[int]:
    columns = header.rstrip("\n").split("\t")
    if missing := [name for name in COLUMNS if name not in columns]:
        raise DataError(f"{path} is no table of scores: its first line lacks {', '.join(missing)}")
    if not set(SPEAKERS) <= set(columns):
        raise DataError(
            f"{path} does not say who speaks, so that no speakers can be drawn: evaluate again with a list whose "
            "labels name the speakers (data.test_list=FILE, with trials=FILE too if only listed trials count)"
        )
    return [columns.index(name) for name in (*COLUMNS, *SPEAKERS)]


def matched(a: ScoreTable, b: ScoreTable) -> tuple[ScoreTable, ScoreTable]:
    """Both with their trials in one order, whichever side is enrolled. `DataError` unless they are the same trials.

    A pair may be listed several times, if in both: all its occurrences weigh alike, so any order among them will do.
    """
    numbers = {name: number for number, name in enumerate(sorted({*a.names, *b.names}))}
    keys_a, keys_b = _keys(a, numbers), _keys(b, numbers)
    _check_same_trials(a, b, keys_a, keys_b)
    a, b = (table.rows(np.argsort(keys, kind="stable")) for table, keys in ((a, keys_a), (b, keys_b)))
    if (wrong := np.flatnonzero(a.is_target != b.is_target)).size:
        raise DataError(
            f"{a.source} and {b.source} label {wrong.size} trials differently, the first {a.trial(wrong[0])}: evaluate "
            "both with the same list"
        )
    theirs = dict(zip(b.names, b.speakers, strict=True))
    if differing := [name for name, speaker in zip(a.names, a.speakers, strict=True) if theirs[name] != speaker]:
        raise DataError(
            f"{a.source} and {b.source} name different speakers for {len(differing)} recordings, the first "
            f"{differing[0]}: evaluate both with the same list"
        )
    return a, b


def _keys(table: ScoreTable, numbers: dict[str, int]) -> NDArray[np.int64]:
    """What a trial is, whichever side is enrolled."""
    number = np.array([numbers[name] for name in table.names], np.int64)
    enrol, test = number[table.enrol], number[table.test]
    return np.minimum(enrol, test) * len(numbers) + np.maximum(enrol, test)


def _check_same_trials(a: ScoreTable, b: ScoreTable, keys_a: NDArray[np.int64], keys_b: NDArray[np.int64]) -> None:
    keys, places = np.unique(np.concatenate([keys_a, keys_b]), return_inverse=True)
    in_a, in_b = (np.bincount(part, minlength=keys.size) for part in np.split(places, [keys_a.size]))
    if np.array_equal(in_a, in_b):
        return
    found = []
    for table, own, more in ((a, keys_a, in_a - in_b), (b, keys_b, in_b - in_a)):
        if (rows := np.flatnonzero(np.isin(own, keys[more > 0]))).size:
            found.append(f"{more[more > 0].sum():,} only in {table.source} (the first {table.trial(rows[0])})")
    raise DataError(f"the runs judge different trials: {'; '.join(found)}. Evaluate both with the same list of trials")
