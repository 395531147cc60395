"""Enrolment of a model from several recordings: lists of `<model>\\t<path>`."""

import os
from typing import NamedTuple

from speaker_id.contracts import as_path
from speaker_id.errors import DataError

_FORM = "'<model>\\t<path>'"


class Models(NamedTuple):
    """Who is enrolled with what; `source` is the file, for messages."""

    source: str
    members: dict[str, list[str]]  # model -> its recordings, as the data list names them


def read_models(path: str | os.PathLike[str]) -> Models:
    """Read `<model>\\t<path>` lines, one recording each; blank lines and # comments are passed over.

    Raises DataError with the line's number for a malformed line and for a recording that a model has twice.
    """
    source = as_path(path)
    try:
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text ({error}); save the models as UTF-8") from None
    except OSError as error:
        raise DataError(f"{source}: cannot read the models ({error.strerror}); write {_FORM} lines") from error
    models = Models(str(source), {})
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        model, name = (part.strip() for part in line.partition("\t")[::2])
        if not model or not name or line.count("\t") > 1:
            raise DataError(f"{source}:{number}: needs a model, a tab and a path, got {line.strip()[:80]!r}")
        members = models.members.setdefault(model, [])
        if name in members:
            raise DataError(f"{source}:{number}: {model} already has {name}; list every recording of a model once")
        members.append(name)
    if not models.members:
        raise DataError(f"{source}: no model in it; write one {_FORM} a line")
    return models
