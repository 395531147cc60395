"""The proof that a removed user is gone: no stored byte of that user is left in the gallery's files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TRACE_BYTES = 32  # of either end of a stored value: by chance those of an embedding are nowhere else
MIN_TRACE_BYTES = 8  # a shorter name may be a part of anything, so finding it says nothing


class Proof(NamedTuple):
    """How a search of the gallery's files for what was deleted ended."""

    searched: tuple[Path, ...]  # every file of the gallery
    traces: int  # how many stretches of bytes were looked for
    left: int  # of those, not provably gone though nobody else's data have them: 0 is the proof
    rewritten: bool  # the whole file was written anew (VACUUM), because some were left at first


class Erasure(NamedTuple):
    """What became of one removed user."""

    user: str
    num_recordings: int  # erased
    proof: Proof  # takes in whoever's time was over at the same moment


def traces_of(values: Iterable[bytes]) -> frozenset[bytes]:
    """Both ends of stored values, as far as they are long enough to mean something."""
    ends = {end for value in values for end in (value[:TRACE_BYTES], value[-TRACE_BYTES:])}
    return frozenset(end for end in ends if len(end) >= MIN_TRACE_BYTES)


def found_in(content: bytes, traces: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(trace for trace in traces if trace in content)
