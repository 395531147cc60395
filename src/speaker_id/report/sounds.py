"""Recordings as small MP3s, the format that every browser plays, to be written into a page."""

import base64
import io
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import soundfile

from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

SAMPLE_RATE = 16000
SECONDS = 8  # from the beginning
MAX_BYTES = 2_000_000  # of MP3 in one page, a third more as text
QUALITY = 0.9  # of 0 (best) to 1: near 28 kbit/s, no worse to listen to than a telephone


class Sounds(NamedTuple):
    """What fitted into the page, by row of the recordings."""

    uris: dict[int, str]
    missing: dict[int, str]  # why there is none


def sounds(paths: Mapping[int, str], *, max_bytes: int = MAX_BYTES) -> Sounds:
    """Encode one recording after the other, in their order, until the page has enough.

    A recording that can no longer be read has been evaluated all the same: it is missing, and the reason said.
    """
    result, total = Sounds({}, {}), 0
    for row, path in paths.items():
        if not path:
            result.missing[row] = "made from several recordings"
        elif total >= max_bytes:
            result.missing[row] = "left out to keep the page small"
        else:
            try:
                encoded = mp3(beginning(path))
            except AudioError as error:
                result.missing[row] = str(error)
                continue
            total += len(encoded)
            result.uris[row] = "data:audio/mpeg;base64," + base64.b64encode(encoded).decode("ascii")
    return result


def beginning(path: str) -> FloatArray:
    """The first `SECONDS`, as loud as full scale allows: hard trials are often quiet ones."""
    total = audio.num_samples_at(audio.info(path), SAMPLE_RATE)
    waveform = audio.load(path, SAMPLE_RATE, num=min(total, SECONDS * SAMPLE_RATE))
    peak = float(np.abs(waveform).max())
    return waveform if audio.is_silent(waveform) else (waveform * np.float32(0.8 / peak))


def mp3(waveform: FloatArray) -> bytes:
    """(S,) at `SAMPLE_RATE` -> the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(
        file, waveform, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III",
        compression_level=QUALITY, bitrate_mode="VARIABLE",
    )  # fmt: skip
    return file.getvalue()


def in_turn(*rankings: Iterable[int]) -> list[int]:
    """The first of each ranking, then the second of each, ...: once each, so that a budget is shared fairly."""
    lists = [list(ranking) for ranking in rankings]
    longest = max(map(len, lists), default=0)
    return list(dict.fromkeys(ranking[place] for place in range(longest) for ranking in lists if place < len(ranking)))
