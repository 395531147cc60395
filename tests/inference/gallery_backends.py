"""Every backend of the gallery contract, as the tests that hold for all of them open it.

A new backend is one class here and one line in BACKENDS.
"""

import contextlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from inference.postgres_server import new_url, server
from speaker_id.contracts import FloatArray, Gallery
from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.inference.gallery import SqliteGallery

START = datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Backend(Protocol):
    """One empty store of its own."""

    clock: Clock  # of every gallery that it opens
    num_examples: int  # random stories that its tests tell: fewer where each takes long
    key: bytes | None  # that everything is sealed with

    def open(
        self,
        *,
        fingerprint: str = "f",
        dim: int = 3,
        best: int | None = None,
        grace: timedelta = timedelta(0),
        keep_recordings: bool = False,
    ) -> Gallery:
        """Another connection to the same store, made at the first call."""
        ...

    def crash(self, gallery: Gallery, user: str, embeddings: FloatArray) -> None:
        """Die in the middle of enrolling: everything but the commit has happened. The gallery is of no use then."""
        ...

    def discard(self) -> None:
        """Take the store away; its galleries are closed."""
        ...


class SqliteBackend:
    key: bytes | None = None
    num_examples = 15

    def __init__(self) -> None:
        self.clock = Clock()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "gallery.db"

    def open(
        self,
        *,
        fingerprint: str = "f",
        dim: int = 3,
        best: int | None = None,
        grace: timedelta = timedelta(0),
        keep_recordings: bool = False,
    ) -> SqliteGallery:
        return SqliteGallery.open(
            self.path,
            fingerprint=fingerprint,
            dim=dim,
            best=best,
            key=self.key,
            grace=grace,
            keep_recordings=keep_recordings,
            clock=self.clock,
        )

    def crash(self, gallery: Gallery, user: str, embeddings: FloatArray) -> None:
        assert isinstance(gallery, SqliteGallery)
        connection = gallery._store.connection
        connection.execute("BEGIN IMMEDIATE")
        change = gallery._store._change()
        user_id = gallery._store.users.add(user.encode() + b"?", change.now, change)
        gallery._store.users.add_vectors(user_id, [row.tobytes() for row in embeddings], None, change.now)
        connection.close()

    def discard(self) -> None:
        self.folder.cleanup()


class EncryptedSqliteBackend(SqliteBackend):
    key = bytes(range(32))


class PostgresBackend:
    key: bytes | None = None
    num_examples = 6

    def __init__(self) -> None:
        self.clock = Clock()
        self.url = new_url()

    def open(
        self,
        *,
        fingerprint: str = "f",
        dim: int = 3,
        best: int | None = None,
        grace: timedelta = timedelta(0),
        keep_recordings: bool = False,
    ) -> Gallery:
        from speaker_id.inference.postgres.gallery import PostgresGallery

        options = GalleryOptions(best=best, key=self.key, grace=grace, keep_recordings=keep_recordings)
        return PostgresGallery.open(self.url, fingerprint=fingerprint, dim=dim, options=options, clock=self.clock)

    def crash(self, gallery: Gallery, user: str, embeddings: FloatArray) -> None:
        """The server cuts the connection."""
        from speaker_id.inference.postgres.change import changing
        from speaker_id.inference.postgres.gallery import PostgresGallery

        assert isinstance(gallery, PostgresGallery)
        with contextlib.suppress(GalleryError), changing(gallery._store, self.clock()) as change:
            user_id = gallery._users.add(user.encode() + b"?", change.now, change)
            for row in embeddings:
                gallery._users.add_vector(user_id, row.tobytes(), None, change.now, change)
            server().execute(f"SELECT pg_terminate_backend({change.connection.info.backend_pid}, 5000)")
        gallery.close()

    def discard(self) -> None:
        """Its schema goes with the server."""


class EncryptedPostgresBackend(PostgresBackend):
    key = bytes(range(32))


BACKENDS: dict[str, type[Backend]] = {
    "sqlite": SqliteBackend,
    "encrypted sqlite": EncryptedSqliteBackend,
    "postgres": PostgresBackend,
    "encrypted postgres": EncryptedPostgresBackend,
}
