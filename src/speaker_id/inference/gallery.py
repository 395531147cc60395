"""Enrolled users in one SQLite file, searched exactly in memory."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from speaker_id.contracts import FloatArray, Match
from speaker_id.errors import GalleryError
from speaker_id.inference.centroids import CentroidIndex, centroids
from speaker_id.inference.gallery_file import gallery_errors, open_file
from speaker_id.inference.names import encode_name


class SqliteGallery:
    """The gallery contract over one file on a local disk (WAL needs shared memory: no network file systems).

    An acknowledged `enrol` or `remove` is on the disk: it survives a killed process and a power cut. Any number of
    threads and processes may share the file; each sees the others' changes at its next call. After `fork`, open anew.
    The centroid of a user is the direction of the mean of that user's unit embeddings.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, fingerprint: str, dim: int) -> None:
        """Use `SqliteGallery.open`."""
        self.path = path
        self.fingerprint = fingerprint
        self.dim = dim
        self._connection = connection
        self._lock = threading.Lock()
        self._index: CentroidIndex | None = None  # read at the first search
        self._data_version = -1  # what other connections had committed when the index was read

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, fingerprint: str | None = None, dim: int | None = None
    ) -> SqliteGallery:
        """Open a gallery; with `fingerprint` and `dim` (E) of a model, create it where there is none.

        Without them an existing gallery opens for what needs no model: `users` and `remove`. Raises GalleryError when
        the file is something else, cannot be written, or holds the embeddings of another model.
        """
        return cls(*open_file(path, fingerprint, dim))

    def enrol(self, user: str, embeddings: FloatArray) -> int:
        """Keep recordings of a user: unit rows (n, E). Returns the number kept of that user now; all or nothing."""
        name = encode_name(user)
        rows = _unit_rows(embeddings, self.dim)
        with self._write() as connection:
            connection.execute("INSERT INTO users (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            (user_id,) = connection.execute("SELECT id FROM users WHERE name = ?", (name,)).fetchone()
            vectors = [(user_id, row.tobytes()) for row in rows]
            connection.executemany("INSERT INTO embeddings (user_id, vector) VALUES (?, ?)", vectors)
            query = "SELECT vector FROM embeddings WHERE user_id = ? ORDER BY id"
            kept = self._matrix([vector for (vector,) in connection.execute(query, (user_id,))])
            connection.execute("COMMIT")
            if self._index is not None:
                self._index.put(user, centroids(kept, [0])[0])
            return len(kept)

    def remove(self, user: str) -> bool:
        """Delete a user; False if there is none of that name.

        The bytes are overwritten in the file, not only unlinked (`secure_delete`, then the log is emptied). If
        another process is in the middle of reading, the log is emptied at the latest when the file is last closed.
        """
        name = encode_name(user)
        with self._write() as connection:
            removed = connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount == 1
            connection.execute("COMMIT")
            if self._index is not None:
                self._index.drop(user)
            if removed:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return removed

    def users(self) -> dict[str, int]:
        """Every user with the number of recordings kept, by name."""
        query = """SELECT name, COUNT(embeddings.id) FROM users LEFT JOIN embeddings ON user_id = users.id
                   GROUP BY users.id ORDER BY name"""
        with self._lock, gallery_errors(self.path):
            return {bytes(name).decode(): count for name, count in self._connection.execute(query)}

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]:
        """The users most like an embedding (E,): raw cosine with each user's centroid, best first, ties by name."""
        if limit < 1:
            raise GalleryError(f"limit is {limit}: ask for at least one user")
        query = _unit_rows(np.asarray(embedding)[None], self.dim)[0]
        with self._lock, gallery_errors(self.path):
            return [Match(user, score) for user, score in self._current_index().search(query, limit)]

    def close(self) -> None:
        with self._lock, gallery_errors(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _current_index(self) -> CentroidIndex:
        """The index, read again if another connection changed the file. Version first: a change in between is seen."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if self._index is None or version != self._data_version:
            self._index = self._read_index()
            self._data_version = version
        return self._index

    def _read_index(self) -> CentroidIndex:
        query = "SELECT name, vector FROM embeddings JOIN users ON users.id = user_id ORDER BY user_id, embeddings.id"
        with closing(self._connection.execute(query)) as cursor:
            rows = cursor.fetchall()
        if not rows:
            return CentroidIndex([], np.zeros((0, self.dim), np.float32))
        starts = [i for i, (name, _) in enumerate(rows) if i == 0 or name != rows[i - 1][0]]
        matrix = self._matrix([vector for _, vector in rows])
        return CentroidIndex([bytes(rows[i][0]).decode() for i in starts], centroids(matrix, starts))

    def _matrix(self, vectors: list[bytes]) -> FloatArray:
        matrix = np.frombuffer(b"".join(vectors), dtype="<f4")
        if matrix.size != len(vectors) * self.dim:
            raise GalleryError(f"{self.path} is damaged: it holds vectors that are not {self.dim} numbers long")
        return matrix.reshape(-1, self.dim).astype(np.float32, copy=False)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which the body has to COMMIT: whatever leaves earlier has changed nothing."""
        with self._lock, gallery_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _unit_rows(embeddings: FloatArray, dim: int) -> FloatArray:
    """Rows of length one, (n, E) -> (n, E), little-endian float32. Raises GalleryError for what has no direction."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != dim or len(rows) == 0:
        raise GalleryError(f"embeddings have shape {rows.shape}, this gallery takes (recordings, {dim})")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise GalleryError("an embedding is all zeros or not finite: it says nothing about a voice")
    unit: FloatArray = (rows / norms).astype("<f4")
    return unit
