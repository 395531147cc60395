"""Whether a container file is all there, by the sizes that its outermost parts state: ffmpeg reads on in a cut one."""

import os
from collections.abc import Callable
from typing import BinaryIO

_HEAD = 24  # bytes in which every part says how long it is
_MOST_PARTS = 1 << 19  # looked at; three hours of a browser's 20 ms blocks


def missing_bytes(file: BinaryIO, demuxer: str) -> int:
    """How many bytes a seekable file's parts promise beyond its end; 0 where they promise nothing."""
    if demuxer not in _PARTS:
        return 0
    part_size = _PARTS[demuxer]
    there = file.seek(0, os.SEEK_END)
    position = 0
    for _ in range(_MOST_PARTS):
        file.seek(position)
        size = part_size(file.read(_HEAD))
        if size == 0:
            return 0
        position += size
        if position >= there:
            return position - there
    return 0


def _box_size(head: bytes) -> int:
    """MP4: 32 bits of size and a name, or 64 bits of size behind them; 0 means up to the end."""
    size, least = int.from_bytes(head[:4]), 8
    if size == 1:
        size, least = int.from_bytes(head[8:16]), 16
    return size if size >= least else 0


def _element_size(head: bytes) -> int:
    """Matroska: both the name and the size begin with as many zero bits as they have further bytes.

    An element of unknown size, as recorders write that cannot seek back, counts with its header alone: its children
    are the next parts.
    """
    name = _num_bytes(head[:1])
    length = _num_bytes(head[name : name + 1])
    if not 1 <= name <= 4 or not 1 <= length <= 8 or len(head) < name + length:
        return 0
    payload = int.from_bytes(head[name : name + length]) - (1 << 7 * length)
    unknown = payload == (1 << 7 * length) - 1
    return name + length + (0 if unknown else payload)


def _num_bytes(first: bytes) -> int:
    return 9 - first[0].bit_length() if first else 0


def _object_size(head: bytes) -> int:
    """ASF: a name of 16 bytes and 64 bits of size; a live recording's are zero."""
    size = int.from_bytes(head[16:24], "little")
    return size if size >= 24 else 0


def _chunk_size(head: bytes) -> int:
    """AVI: RIFF and 32 bits of size, padded to an even number."""
    size = int.from_bytes(head[4:8], "little")
    return 8 + size + size % 2 if head[:4] == b"RIFF" and size else 0


_PARTS: dict[str, Callable[[bytes], int]] = {
    "mov": _box_size,
    "matroska": _element_size,
    "asf": _object_size,
    "avi": _chunk_size,
}
