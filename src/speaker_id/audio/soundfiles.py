"""Recordings that libsndfile reads: wav, flac, mp3, ogg and their kin."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from speaker_id.audio.recording import BLOCK, AudioInfo, Recording, check_rate, checked, mix_down
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

READABLE = (
    "wav, flac, mp3, ogg (vorbis, opus), aiff, au, caf and w64; m4a, mp4, webm, mkv, wma, amr, aac and avi with "
    "'speaker-id[formats]'"
)
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64"})

_UNKNOWN_LENGTH = 0x7FFF0000  # bytes; recorders that write into a pipe put such sizes into the header
_CUT_SHORT = re.compile(r"^ *(?:data|SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


class _Decoder(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on from where it is: soundfile seeks there after every read, and mp3 loses its place by it."""

    def seekable(self) -> bool:
        return False

    @property
    def jumps(self) -> bool:
        """Whether a seek is possible and exact: after one libsndfile misses the mp3 bit reservoir, and a fraction of a
        sample where opus is not at 48 kHz; in GSM it cannot.
        """
        exact = self.format != "MP3" and (self.subtype != "OPUS" or self.samplerate == 48000)
        return exact and bool(super().seekable())


class _Steady:
    """A file that stays where it is when a damaged header sends libsndfile before its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def opened_file(file: Path | BinaryIO, name: str) -> Iterator[Recording]:
    """A file under the name that errors call it. Raises AudioError for what libsndfile does not read."""
    try:
        decoder = _Decoder(file if isinstance(file, Path) else _Steady(file))
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
        raise AudioError(
            f"{name} is not audio in a known format, or its header is damaged; {convert_hint()}"
        ) from error
    with decoder:
        if decoder.frames > np.iinfo(np.int64).max // 2:
            raise AudioError(f"{name} does not state its length (written into a pipe?); {convert_hint()}")
        cut = _CUT_SHORT.search(decoder.extra_info)  # its log; libsndfile goes on with what is left of a cut file
        if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_LENGTH:
            raise AudioError(f"{name} is truncated: {cut[2]} of {cut[1]} bytes of sound are there; copy it again")
        check_rate(decoder.samplerate, name)
        header = AudioInfo(decoder.frames, decoder.samplerate, decoder.channels)
        yield Recording(name, header, lambda first, num: _decode(decoder, name, first, num))


def _decode(decoder: _Decoder, name: str, first: int, num: int) -> FloatArray:
    skip = 0 if decoder.jumps else first
    blocks, left = [], skip + num
    try:
        if first > skip:
            decoder.seek(first)
        most = max(1, BLOCK // decoder.channels)
        while left and len(block := decoder.read(min(left, most), dtype="float32", always_2d=True)):
            blocks.append(mix_down(block.T))
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name} is damaged or truncated ({error.error_string}); copy it again") from error
    if left:
        raise AudioError(f"{name} is truncated: it ends {left} samples early; copy it again, or {convert_hint()}")
    waveform = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return checked(waveform[skip:].copy() if skip else waveform, name)


def convert_hint() -> str:
    return f"convert it with `ffmpeg -i INPUT -ac 1 -ar 16000 output.wav` (read are {READABLE})"
