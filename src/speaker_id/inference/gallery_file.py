"""The file behind a gallery: its schema, its settings, and whether a file is one."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from speaker_id.errors import GalleryError

APPLICATION_ID = 0x53504B47  # "SPKG", in the file's header
SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0  # how long to wait for another process's transaction

# One statement per entry: executescript() would commit the transaction that they have to share.
SCHEMA = (
    "CREATE TABLE meta (fingerprint TEXT NOT NULL, dim INTEGER NOT NULL)",
    """CREATE TABLE users (
        id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    """CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        vector BLOB NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX embeddings_of_user ON embeddings (user_id)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class GalleryFile(NamedTuple):
    """An open gallery file, and which model's embeddings it holds."""

    path: Path
    connection: sqlite3.Connection
    fingerprint: str
    dim: int


def open_file(path: str | os.PathLike[str], fingerprint: str | None, dim: int | None) -> GalleryFile:
    """Open a gallery file, or create it when the model is known; raises GalleryError for what is no gallery."""
    path = Path(path).expanduser().absolute()  # absolute: ":memory:" is a file name like any other
    if fingerprint is None and not path.exists():
        raise GalleryError(f"there is no gallery at {path}: enrol somebody first, or give another path")
    if path.exists() and not path.is_file():
        raise GalleryError(f"{path} is not a file: give the path of a gallery file")
    with gallery_errors(path):
        if not path.exists():
            path.touch(mode=0o600)  # voices are personal data; SQLite gives its side files the same mode
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            held_fingerprint, held_dim = _prepare(connection, path, fingerprint, dim)
        except BaseException:
            connection.close()
            raise
    return GalleryFile(path, connection, held_fingerprint, held_dim)


@contextmanager
def gallery_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise GalleryError(f"cannot use the gallery {path}: {error}") from error


def _prepare(connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None) -> tuple[str, int]:
    """Settings and schema of an open file; returns the fingerprint and dim of the embeddings it holds."""
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise GalleryError(f"{path} is a database of something else, not a gallery: give another path")
    connection.execute("PRAGMA journal_mode = WAL")
    for setting in ("synchronous = FULL", "fullfsync = ON", "secure_delete = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("BEGIN IMMEDIATE")  # two processes may create the same gallery at once
    try:
        found = _check(connection, path, fingerprint, dim)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return found


def _check(connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None) -> tuple[str, int]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        if fingerprint is None or dim is None:
            raise GalleryError(f"{path} holds no gallery yet: enrol somebody first")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES (?, ?)", (fingerprint, dim))
        return fingerprint, dim
    if version != SCHEMA_VERSION:
        raise GalleryError(
            f"{path} has gallery format {version}, this program reads {SCHEMA_VERSION}: update speaker-id"
        )
    held_fingerprint, held_dim = connection.execute("SELECT fingerprint, dim FROM meta").fetchone()
    if fingerprint is not None and (fingerprint, dim) != (held_fingerprint, held_dim):
        raise GalleryError(
            f"{path} holds embeddings of model {held_fingerprint[:12]} ({held_dim} numbers each), which cannot be "
            f"compared with those of model {fingerprint[:12]} ({dim}): use another gallery file, or enrol everybody "
            "again in a new one"
        )
    return held_fingerprint, held_dim
