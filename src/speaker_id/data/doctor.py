"""Listening to recordings before they are listed: which ones could not be used, and why; copies that read fast.

The recordings themselves are never changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import soundfile

from speaker_id import audio
from speaker_id.errors import AudioError, DataError


class Finding(NamedTuple):
    """What became of one recording; `trouble` is empty where there is none."""

    path: Path
    trouble: str


def examine(paths: Sequence[Path], *, min_seconds: float, num_threads: int) -> Iterator[Finding]:
    """Decode every recording from its beginning to its end, several at a time; yields in the order of `paths`."""
    with ThreadPoolExecutor(num_threads) as threads:  # decoders leave Python's lock
        yield from threads.map(lambda path: Finding(path, trouble_with(path, min_seconds=min_seconds)), paths)


def trouble_with(path: Path, *, min_seconds: float) -> str:
    """Why a recording cannot be used: unreadable, cut short, shorter than `min_seconds`, or silent; else nothing."""
    try:
        rate = audio.info(path).sample_rate
        waveform = audio.load(path, rate)
    except AudioError as error:
        return str(error)
    if len(waveform) < min_seconds * rate:
        return f"lasts {len(waveform) / rate:.2f} s, at least {min_seconds:g} s are needed"
    return "is silent" if audio.is_silent(waveform) else ""


def convert(targets: Mapping[Path, Path], *, sample_rate: int, num_threads: int) -> Iterator[Path]:
    """Write each recording as mono 16-bit FLAC to its target, as training would hear it; yields what is done, in order.

    Of mp3, a crop costs all that lies before it; of FLAC only itself. Raises AudioError for a recording that cannot be
    read, DataError for a target that cannot be written.
    """
    with ThreadPoolExecutor(num_threads) as threads:
        yield from threads.map(lambda path: _converted(path, targets[path], sample_rate), targets)


def _converted(path: Path, target: Path, sample_rate: int) -> Path:
    waveform = audio.load(path, sample_rate)
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(partial, waveform, sample_rate, format="FLAC", subtype="PCM_16")
        partial.replace(target)
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"cannot write {target}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target
