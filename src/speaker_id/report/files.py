"""Result files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from speaker_id.errors import SpeakerIdError


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place when the block ends without an error.

    Until then an existing file stays as it was, whatever happens. Missing folders are made. Raises `SpeakerIdError`
    when the disk is full or the place cannot be written to.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # a full network disk may say so only here
        temporary.replace(target)
    except OSError as error:
        raise SpeakerIdError(f"could not write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # there may be nothing to remove
            temporary.unlink()
