"""Where the parts of an audio file begin and end, so that mutations hit what decoders believe."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Order = Literal["little", "big"]


class Chunk(NamedTuple):
    """data[start:end] is the whole part with its header, data[body:end] what it holds."""

    start: int
    body: int
    end: int
    size_at: int  # where the header states a size
    size_bytes: int  # 0: it states none
    order: Order


class _Shape(NamedTuple):
    """Of containers that are a row of chunks, each with a name and a size."""

    first: int  # where the row begins
    name_bytes: int
    size_bytes: int
    order: Order
    counts_header: bool  # whether the size is that of the whole chunk
    align: int
    size_first: bool = False
    nests: frozenset[bytes] = frozenset()  # names of chunks that hold chunks themselves
    skips: int = 0  # bytes before those


_SHAPES = {
    b"RIFF": _Shape(12, 4, 4, "little", False, 2, nests=frozenset({b"LIST"}), skips=4),
    b"RF64": _Shape(12, 4, 4, "little", False, 2),
    b"RIFX": _Shape(12, 4, 4, "big", False, 2),
    b"FORM": _Shape(12, 4, 4, "big", False, 2),
    b"caff": _Shape(8, 4, 8, "big", False, 1),
    b"riff": _Shape(40, 16, 8, "little", True, 8),  # Wave64
    b"0&\xb2u": _Shape(0, 16, 8, "little", True, 1),  # ASF
}
_NESTING_BOXES = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"mvex", b"moof", b"traf"})
_BOXES = _Shape(0, 4, 4, "big", True, 1, size_first=True, nests=_NESTING_BOXES)  # MP4 and its kind
_NESTING_ELEMENTS = frozenset({b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x16\x54\xae\x6b", b"\xae", b"\xe1"})


def chunks(data: bytes) -> list[Chunk]:
    """The parts of a file of a known format, as far as their sizes make sense; none of an unknown one.

    Parts that hold parts come before those.
    """
    shape = _BOXES if data[4:8] in (b"ftyp", b"moov") else _SHAPES.get(data[:4])
    if shape is not None:
        return list(_row(data, shape, shape.first, len(data)))
    walk: Callable[[bytes], Iterator[Chunk]] | None = _WALKS.get(data[:4])
    return list(walk(data)) if walk else []


def _row(data: bytes, shape: _Shape, start: int, stop: int) -> Iterator[Chunk]:
    header = shape.name_bytes + shape.size_bytes
    while start + header <= stop:
        size_at = start if shape.size_first else start + shape.name_bytes
        stated = int.from_bytes(data[size_at : size_at + shape.size_bytes], shape.order)
        end = start + stated if shape.counts_header else start + header + stated
        end = min(-(-end // shape.align) * shape.align, stop)
        if end < start + header:
            return
        yield Chunk(start, start + header, end, size_at, shape.size_bytes, shape.order)
        name_at = start + shape.size_bytes if shape.size_first else start
        if data[name_at : name_at + shape.name_bytes] in shape.nests:
            yield from _row(data, shape, start + header + shape.skips, end)
        start = end


def _flac_blocks(data: bytes) -> Iterator[Chunk]:
    start, last = 4, False
    while not last and start + 4 <= len(data):
        last = bool(data[start] & 0x80)
        end = min(start + 4 + int.from_bytes(data[start + 1 : start + 4], "big"), len(data))
        yield Chunk(start, start + 4, end, start + 1, 3, "big")
        start = end
    if start < len(data):
        yield Chunk(start, start, len(data), start, 0, "big")  # the sound


def _ogg_pages(data: bytes) -> Iterator[Chunk]:
    start = 0
    while data[start : start + 4] == b"OggS" and start + 27 <= len(data):
        body = start + 27 + data[start + 26]
        end = min(body + sum(data[start + 27 : body]), len(data))
        if end < body:
            return
        yield Chunk(start, body, end, start + 26, 1, "little")
        start = end


def _ebml_elements(data: bytes) -> Iterator[Chunk]:
    """Of Matroska and WebM: name and size begin with as many zero bits as they have further bytes."""
    start = 0
    while start + 2 <= len(data) and data[start]:
        size_at = start + 9 - data[start].bit_length()
        if size_at >= len(data) or not data[size_at]:
            return
        size_bytes = 9 - data[size_at].bit_length()
        body = size_at + size_bytes
        size = int.from_bytes(data[size_at:body], "big") & ((1 << 7 * size_bytes) - 1)
        end = min(body + size, len(data))  # an unknown size is larger than any file
        if end < body:
            return
        yield Chunk(start, body, end, size_at, size_bytes, "big")
        start = body if data[start:size_at] in _NESTING_ELEMENTS else end


_WALKS = {b"fLaC": _flac_blocks, b"OggS": _ogg_pages, b"\x1aE\xdf\xa3": _ebml_elements}


def with_ogg_checksums(data: bytes) -> bytes:
    """The same pages with checksums that fit, so that what changed in them is looked at."""
    mended = bytearray(data)
    for page in _ogg_pages(data):
        mended[page.start + 22 : page.start + 26] = bytes(4)
        checksum = _ogg_crc(mended[page.start : page.end])
        mended[page.start + 22 : page.start + 26] = checksum.to_bytes(4, "little")
    return bytes(mended)


def _ogg_crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc


_CRC_TABLE = [_crc_of(byte) for byte in range(256)]
