"""Recordings that no program would write: (seed, number) -> the same file every time, on every machine."""

import random
import struct
from collections.abc import Callable
from typing import NamedTuple

from hostile.containers import Chunk, chunks, with_ogg_checksums
from hostile.sounds import Original, originals

MAX_BYTES = 1 << 20  # which is half an hour of AMR, and 4 s of decoding it

_HEADER = 128  # bytes: where most formats state rates, channels and depths
_INTEGERS = (
    0, 1, 2, 3, 7, 8, 16, 17, 24, 32, 64, 255, 256, 1023, 4000, 8000, 44_100, 65_535, 384_000, 1 << 20, 1 << 24,
    2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
_FLOATS = (0.0, -1.0, 0.5, 1e-300, 1e9, 1e300, float("inf"), float("-inf"), float("nan"))

Mutation = Callable[[bytes, random.Random], bytes]


class Mutated(NamedTuple):
    extension: str  # of the file it was
    content: bytes
    story: str  # the mutations, in their order


def mutated(seed: int, number: int) -> Mutated:
    """One to four mutations of one of the originals."""
    rng = random.Random(f"{seed} {number}")  # a text is hashed the same everywhere
    original = rng.choice(_formats(rng))
    content, story = original.content, []
    for mutation in rng.choices(MUTATIONS, k=rng.choice((1, 1, 2, 4))):
        content = mutation(content, rng)[:MAX_BYTES]
        story.append(mutation.__name__)
    if original.content.startswith(b"OggS") and rng.random() < 0.8:
        content = with_ogg_checksums(content)
        story.append("with_ogg_checksums")
    return Mutated(original.extension, content, ", ".join(story))


def _formats(rng: random.Random) -> list[Original]:
    """All originals of one format: each format is as frequent as the next, however many kinds it has."""
    extension = rng.choice(sorted({one.extension for one in originals()}))
    return [one for one in originals() if one.extension == extension]


def bits_flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        if changed:
            changed[_somewhere(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def bytes_replaced(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 16))):
        if changed:
            changed[_somewhere(changed, rng)] = rng.randrange(256)
    return bytes(changed)


def number_replaced(data: bytes, rng: random.Random) -> bytes:
    """Near the beginning: a rate, a count of channels or samples, a depth, a size."""
    if len(data) < 8:
        return data
    return _with_number(data, rng.randrange(0, min(_HEADER, len(data) - 7), 2), rng)


def field_replaced(data: bytes, rng: random.Random) -> bytes:
    """A number within a chunk, at an offset where formats put them."""
    found = [chunk for chunk in chunks(data) if chunk.end - chunk.body >= 8]
    if not found:
        return number_replaced(data, rng)
    chunk = rng.choice(found)
    return _with_number(data, rng.randrange(chunk.body, min(chunk.end - 7, chunk.body + _HEADER), 2), rng)


def size_replaced(data: bytes, rng: random.Random) -> bytes:
    """What a chunk says of its own size: nothing, too little, too much, more than there is anywhere."""
    found = [chunk for chunk in chunks(data) if chunk.size_bytes]
    if not found:
        return number_replaced(data, rng)
    chunk = rng.choice(found)
    most = 256**chunk.size_bytes - 1
    true = int.from_bytes(data[chunk.size_at : chunk.size_at + chunk.size_bytes], chunk.order)
    size = rng.choice(
        (0, 1, true - 1, true + 1, 2 * true, len(data), most // 2, most // 2 + 1, most, rng.randint(0, most))
    )
    stated = (size & most).to_bytes(chunk.size_bytes, chunk.order)
    return data[: chunk.size_at] + stated + data[chunk.size_at + chunk.size_bytes :]


def chunk_removed(data: bytes, rng: random.Random) -> bytes:
    chunk = _a_chunk(data, rng)
    return data[: chunk.start] + data[chunk.end :]


def chunk_repeated(data: bytes, rng: random.Random) -> bytes:
    chunk = _a_chunk(data, rng)
    return data[: chunk.end] + data[chunk.start : chunk.end] * rng.choice((1, 2, 50)) + data[chunk.end :]


def chunk_moved(data: bytes, rng: random.Random) -> bytes:
    chunk, target = _a_chunk(data, rng), _a_chunk(data, rng)
    rest = data[: chunk.start] + data[chunk.end :]
    return rest[: target.start] + data[chunk.start : chunk.end] + rest[target.start :]


def chunk_emptied(data: bytes, rng: random.Random) -> bytes:
    """Its header stays, of its body a part at most."""
    chunk = _a_chunk(data, rng)
    return data[: rng.randint(min(chunk.body, chunk.end), chunk.end)] + data[chunk.end :]


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[
        : rng.choice((0, 1, 4, 12, 43, 44, 45, rng.randint(0, len(data)), max(0, len(data) - rng.randint(1, 9))))
    ]


def beginning_lost(data: bytes, rng: random.Random) -> bytes:
    return data[rng.choice((1, 2, 4, rng.randint(0, len(data)))) :]


def spliced(data: bytes, rng: random.Random) -> bytes:
    """The beginning of one file, the end of another of any format."""
    other = rng.choice(originals()).content
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def block_repeated(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:last] + data[first:last] * rng.choice((1, 3, 20, 200)) + data[last:]


def block_removed(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:first] + data[last:]


def block_filled(data: bytes, rng: random.Random) -> bytes:
    first, last = _stretch(data, rng)
    return data[:first] + bytes([rng.choice((0, 0x7F, 0x80, 0xFF))]) * (last - first) + data[last:]


def noise_inserted(data: bytes, rng: random.Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 3, 100, 5000))) + data[at:]


def tail_added(data: bytes, rng: random.Random) -> bytes:
    """Much of nothing at the end."""
    return data + bytes([rng.choice((0, 0xFF))]) * rng.choice((1, 1000, 1 << 18))


def tag_put_before(data: bytes, rng: random.Random) -> bytes:
    """An ID3 tag that states any size."""
    return b"ID3" + rng.choice((b"\x03\x00", b"\xff\xff")) + rng.randbytes(5) + bytes(rng.choice((0, 10, 2000))) + data


MUTATIONS: tuple[Mutation, ...] = (
    bits_flipped, bytes_replaced, number_replaced, number_replaced, field_replaced, field_replaced, size_replaced,
    size_replaced, chunk_removed, chunk_repeated, chunk_moved, chunk_emptied, cut_short, beginning_lost, spliced,
    block_repeated, block_removed, block_filled, noise_inserted, tail_added, tag_put_before,
)  # fmt: skip


def _somewhere(data: bytes | bytearray, rng: random.Random) -> int:
    """Half of the time near the beginning."""
    return rng.randrange(min(len(data), _HEADER)) if rng.random() < 0.5 else rng.randrange(len(data))


def _with_number(data: bytes, at: int, rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        written = struct.pack(rng.choice("<>") + rng.choice("fd"), _narrow(rng.choice(_FLOATS)))
    else:
        size = rng.choice((1, 2, 4, 4, 8))
        written = (rng.choice(_INTEGERS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return data[:at] + written + data[at + len(written) :]


def _narrow(value: float) -> float:
    """What fits into four bytes, too."""
    return value if value != 1e300 else 3e38


def _a_chunk(data: bytes, rng: random.Random) -> Chunk:
    """One of the file's; of a file without chunks, any stretch."""
    if found := chunks(data):
        return rng.choice(found)
    first, last = _stretch(data, rng)
    return Chunk(first, first, last, first, 0, "little")


def _stretch(data: bytes, rng: random.Random) -> tuple[int, int]:
    first = rng.randint(0, len(data))
    return first, min(len(data), first + rng.choice((1, 16, 256, 4096, len(data))))
