"""Removed users are written over, and it is proven: what was there is nowhere in the gallery's files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from speaker_id.contracts import GalleryCopy
from speaker_id.inference.gallery_file import (
    GalleryFile,
    empty_log,
    num_free_pages,
    side_files,
    transaction,
    write_anew,
)
from speaker_id.inference.gallery_log import committed_pages

TRACE_BYTES = 32  # of either end of a stored value: by chance those of an embedding are nowhere else
MIN_TRACE_BYTES = 8  # a shorter name may be a part of anything, so finding it says nothing
COMPACT_BYTES = 2**24  # written over, from which on the file is written anew if that is half of it

Held = Callable[[frozenset[bytes]], frozenset[bytes]]  # of some traces, those in what is kept of anybody


class Proof(NamedTuple):
    """How a search of the gallery's files for what was deleted ended."""

    searched: tuple[Path, ...]  # the files of the gallery
    pages: int  # how many pages of them were searched: those that were changed, or all
    traces: int  # how many stretches of bytes were looked for
    left: int  # of those, not provably gone though nobody else's data have them: 0 is the proof
    rewritten: bool  # the whole file was written anew (VACUUM), because it could have held some elsewhere


class Erasure(NamedTuple):
    """What became of one removed user."""

    user: str
    num_recordings: int  # erased
    proof: Proof  # takes in whoever's time was over at the same moment
    copies: tuple[GalleryCopy, ...]  # exports and backups of this gallery: out of reach, and the user may be in them


class WrittenOver(NamedTuple):
    """What a transaction has written over, and with what."""

    gone: list[bytes]  # as it was stored
    put: list[bytes]

    def filler(self, stored: bytes) -> str:
        """Random text of as many bytes, to be written where a blob was: in place, and told from one by its type."""
        text = os.urandom(len(stored) // 2 + 1).hex()[: len(stored)]
        self.gone.append(stored)
        self.put.append(text.encode())
        return text


NOTHING = Proof((), 0, 0, 0, False)


def prove_erased(file: GalleryFile, written: WrittenOver, held: Held) -> Proof:
    """Make sure that what a committed transaction has written over is in no file.

    Rows of these kinds never move, so their pages are the only ones that ever held them. Those pages are in the log,
    until it is carried into the file: when each filler is found there, the right pages have been looked at. Otherwise
    (another process emptied the log meanwhile) the whole file is searched; it is written anew where rows did move
    (it comes from an older version) or pages are free that another program freed.

    The file is read through the connection. To open and close it beside that would drop the POSIX locks of this
    process, and other writers would write over ours (sqlite.org/howtocorrupt.html, 2.2).
    """
    connection, gone = file.connection, traces_of(written.gone)
    with transaction(connection, "DEFERRED"):
        pages = committed_pages(file.path)
        tidy = _is_tidy(connection)
    if not empty_log(connection):  # somebody reads what was there before
        return Proof(tuple(side_files(file.path)), len(pages), len(gone), len(gone), False)
    content, num_pages = b"".join(pages.values()), len(pages)
    if tidy and not traces_of(written.put) <= found_in(content, traces_of(written.put)):
        content, num_pages = connection.serialize(), _num_pages(connection)
    left = (gone if not tidy else found_in(content, gone)) - held(gone if not tidy else found_in(content, gone))
    if rewritten := bool(left) or not tidy:
        write_anew(connection)
        left, num_pages = found_in(connection.serialize(), left), _num_pages(connection)
    return Proof(tuple(side_files(file.path)), num_pages, len(gone), len(left), rewritten)


def compact(connection: sqlite3.Connection) -> None:
    """Take out what was written over, where that is half of the file; the proof then writes the file anew."""
    (written_over,) = connection.execute("SELECT written_over FROM meta").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if written_over > COMPACT_BYTES and 2 * written_over > _num_pages(connection) * page_size:
        for table, column in (("texts", "content"), ("embeddings", "vector"), ("recordings", "content")):
            connection.execute(f"DELETE FROM {table} WHERE typeof({column}) = 'text'")
        connection.execute("UPDATE meta SET written_over = 0, tidy = 0")


def traces_of(values: Iterable[bytes]) -> frozenset[bytes]:
    """Both ends of stored values, as far as they are long enough to mean something."""
    ends = {end for value in values for end in (value[:TRACE_BYTES], value[-TRACE_BYTES:])}
    return frozenset(end for end in ends if len(end) >= MIN_TRACE_BYTES)


def found_in(content: bytes, traces: Iterable[bytes]) -> frozenset[bytes]:
    return frozenset(trace for trace in traces if trace in content)


def _is_tidy(connection: sqlite3.Connection) -> bool:
    """Whether no row ever moved, and whatever is free was freed by us."""
    tidy, free_pages = connection.execute("SELECT tidy, free_pages FROM meta").fetchone()
    return bool(tidy) and free_pages == num_free_pages(connection)


def _num_pages(connection: sqlite3.Connection) -> int:
    (num,) = connection.execute("PRAGMA page_count").fetchone()
    return int(num)
