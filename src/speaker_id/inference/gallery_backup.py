"""A copy of a whole gallery file while it is in use."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from speaker_id.inference.private_file import refuse_existing


def write_backup(connection: sqlite3.Connection, path: Path, *, replace: bool) -> None:
    """Copy an open database to a file of mode 0600; whatever fails leaves what was there before.

    By SQLite's own online backup: everything committed, of one moment, and no page twice. Raises ConfigError for a
    file that is in the way, OSError and sqlite3.Error.
    """
    refuse_existing(path, replace=replace)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        with closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
        os.fsync(descriptor)
        partial.replace(path)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)
