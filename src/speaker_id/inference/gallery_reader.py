"""A gallery file's voices in memory, kept up with what any process writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.inference.gallery_file import GalleryFile
from speaker_id.inference.gallery_index import Found, Ids, VoiceIndex
from speaker_id.inference.gallery_vectors import ROWS_AT_ONCE, grouped_rows, opened_rows

CHANGES_AT_ONCE = 2000  # more than this, and reading everything again in file order is the quicker way


class VoiceReader:
    """The index of a gallery file. Call it inside a transaction: what it reads has to be of one moment."""

    def __init__(self, file: GalleryFile, best: int | None) -> None:
        self._file = file
        self._best = best
        self._index: VoiceIndex | None = None  # read at the first search
        self._revision = -1
        self._expiries: dict[int, str] = {}

    def search(self, queries: FloatArray, limit: int, revision: int, now: str) -> list[Found]:
        """The gallery as it is at `revision`, less those whose time is over."""
        index = self._current(revision)
        if over := [user_id for user_id, expires in self._expiries.items() if expires <= now]:
            index.replace(_ids(over), *self._nobody())
            for user_id in over:
                del self._expiries[user_id]
        return index.search(queries, limit)

    def forget(self) -> None:
        """Read everything again at the next search."""
        self._index = None

    def follow(self, revision: int) -> None:
        """Take up changes now, if anything was ever read: a removed voice leaves the memory too."""
        if self._index is not None:
            self._current(revision)

    def _current(self, revision: int) -> VoiceIndex:
        if self._index is None:
            return self._read_all(revision)
        if revision != self._revision:
            return self._read_changes(self._index, revision)
        return self._index

    def _read_all(self, revision: int) -> VoiceIndex:
        execute = self._file.connection.execute
        self._expiries = dict(execute("SELECT id, expires FROM users WHERE expires IS NOT NULL"))
        (num,) = execute("SELECT COUNT(*) FROM embeddings").fetchone()
        (written_over,) = execute("SELECT written_over FROM meta").fetchone()
        kept = "WHERE typeof(vector) = 'blob'" if written_over else ""  # to ask costs a tenth of the time
        query = f"SELECT user_id, vector FROM embeddings {kept} ORDER BY id"
        index = VoiceIndex(self._best, *self._read_rows(query, (), num))
        removed = [user_id for (user_id,) in execute("SELECT id FROM users WHERE erase_at IS NOT NULL")]
        index.replace(_ids(removed), *self._nobody())
        self._index, self._revision = index, revision
        return index

    def _read_changes(self, index: VoiceIndex, revision: int) -> VoiceIndex:
        """Removed, and to be restored yet, is a change like any other."""
        execute, since = self._file.connection.execute, (self._revision,)
        gone = [user_id for (user_id,) in execute("SELECT user_id FROM removed WHERE revision > ?", since)]
        changed = dict(execute("SELECT id, expires FROM users WHERE revision > ?", since))
        if len(changed) > CHANGES_AT_ONCE:
            return self._read_all(revision)
        for user_id in [*gone, *changed]:
            self._expiries.pop(user_id, None)
        self._expiries |= {user_id: expires for user_id, expires in changed.items() if expires is not None}
        query = """SELECT user_id, vector FROM embeddings
                   WHERE user_id IN (SELECT id FROM users WHERE revision > ? AND erase_at IS NULL)
                   ORDER BY user_id, id"""
        index.replace(_ids([*gone, *changed]), *self._read_rows(query, since, 0))
        self._revision = revision
        return index

    def _read_rows(self, query: str, parameters: tuple[int, ...], num: int) -> tuple[Ids, FloatArray]:
        """User numbers, grouped, and their rows as they were enrolled: (n,), (n, E). `num` is a guess of n."""
        with closing(self._file.connection.execute(query, parameters)) as cursor:
            batches = iter(lambda: cursor.fetchmany(ROWS_AT_ONCE), [])
            return grouped_rows((read_vectors(self._file, batch) for batch in batches), self._file.dim, num)

    def _nobody(self) -> tuple[Ids, FloatArray]:
        return np.zeros(0, np.int64), np.zeros((0, self._file.dim), np.float32)


def read_vectors(file: GalleryFile, stored: Sequence[tuple[int, bytes]]) -> tuple[Sequence[int], FloatArray]:
    """User numbers and rows (n, E) of stored vectors. Raises GalleryError for one of another length."""
    return opened_rows(file.seal, file.dim, stored, file.path)


def _ids(users: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(users, np.int64)
