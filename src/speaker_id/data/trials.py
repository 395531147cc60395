"""Trial lists: which recordings are compared, and whether the same person speaks."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.errors import DataError


class Trials(NamedTuple):
    """Recording names as the list has them, each of length M."""

    enrol: list[str]
    test: list[str]
    is_target: NDArray[np.bool_]  # (M,)


class _Layout(NamedTuple):
    text: str
    label: int  # position of the label among the three fields
    enrol: int
    test: int
    kinds: dict[str, bool]


KALDI = _Layout("enrol test target|nontarget", 2, 0, 1, {"target": True, "nontarget": False})
VOXCELEB = _Layout("1|0 enrol test", 0, 1, 2, {"1": True, "0": False})


def read_trials(path: str | os.PathLike[str]) -> Trials:
    """Read a list in VoxCeleb (`1|0 enrol test`) or Kaldi (`enrol test target|nontarget`) layout.

    The first line tells which (`1 2 target` is Kaldi), and every line must agree. Fields are separated by white space,
    or by tabs alone in a line that has tabs, so that names there may hold spaces. A trial may occur twice. Raises
    `DataError` with file and line for a malformed line, a recording compared with itself, or an empty list.
    """
    source = Path(path)
    trials = Trials([], [], np.empty(0, np.bool_))
    flags: list[bool] = []
    layout: _Layout | None = None
    for number, line in enumerate(_lines(source), start=1):
        where = f"{source}:{number}"
        fields = [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()
        layout = layout or _layout_of(fields, where)
        if len(fields) != 3 or not all(fields) or fields[layout.label] not in layout.kinds:
            raise DataError(f"{where}: expected `{layout.text}`, as in the first line, got {line.strip()!r}")
        enrol, test = fields[layout.enrol], fields[layout.test]
        if enrol == test:
            raise DataError(f"{where}: {enrol!r} against itself: a recording is never compared with itself")
        trials.enrol.append(sys.intern(enrol))  # a name occurs in many trials
        trials.test.append(sys.intern(test))
        flags.append(layout.kinds[fields[layout.label]])
    if not flags:
        raise DataError(f"{source}: the trial list is empty")
    return trials._replace(is_target=np.array(flags))


def _layout_of(fields: list[str], where: str) -> _Layout:
    for layout in (KALDI, VOXCELEB):
        if len(fields) == 3 and fields[layout.label] in layout.kinds:
            return layout
    raise DataError(f"{where}: expected `{VOXCELEB.text}` or `{KALDI.text}`, got {' '.join(fields)!r}")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n") if path.stat().st_size else []
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}: save the trial list as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read the trial list: {error.strerror}") from error
