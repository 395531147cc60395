"""Listening to recordings before they are listed: which ones could not be used, and why. Nothing is changed."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from speaker_id import audio
from speaker_id.errors import AudioError


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
