"""Files with voices in them: readable by their owner alone, and either whole or not there."""

import os
import tempfile
from pathlib import Path

from speaker_id.errors import ConfigError


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise ConfigError where something is in the way, before anybody has taken pains."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: give the name of a file")
    if not replace and path.exists():
        raise ConfigError(f"{path} exists already: take another name, or --force to replace it")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600 at once; whatever fails leaves what was there before. Raises ConfigError."""
    refuse_existing(path, replace=replace)
    partial = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".partial", dir=path.parent)
        partial = Path(name)
        with os.fdopen(descriptor, "wb") as file:  # mkstemp's mode is 0600
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
