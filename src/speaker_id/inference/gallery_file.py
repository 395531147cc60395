"""The file behind a gallery: its schema, its settings, and whether a file is one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_seal import KeySource, Plain, Seal, open_seal

APPLICATION_ID = 0x53504B47  # "SPKG", in the file's header
SCHEMA_VERSION = 2
BUSY_SECONDS = 30.0  # how long to wait for another process's transaction

# One statement per entry: executescript() would commit the transaction that they have to share.
VERSION_1 = (
    "CREATE TABLE meta (fingerprint TEXT NOT NULL, dim INTEGER NOT NULL)",
    """CREATE TABLE users (
        id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    """CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
        vector BLOB NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    "CREATE INDEX embeddings_of_user ON embeddings (user_id)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
# Readers ask for the users and removals of later revisions than their own. `name` is the name itself, or with a key
# its HMAC, and then `sealed_name` holds it. Times are UTC and sort as text.
VERSION_2 = (
    "ALTER TABLE meta ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE meta ADD COLUMN key_check BLOB",  # NULL: nothing is sealed
    "ALTER TABLE users ADD COLUMN sealed_name BLOB",
    "ALTER TABLE users ADD COLUMN details BLOB",
    "ALTER TABLE users ADD COLUMN changed TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE users ADD COLUMN expires TEXT",
    "ALTER TABLE users ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
    """UPDATE users SET changed =
        MAX(created, COALESCE((SELECT MAX(created) FROM embeddings WHERE user_id = users.id), created))""",
    "CREATE INDEX users_by_revision ON users (revision)",
    "CREATE INDEX users_that_expire ON users (expires) WHERE expires IS NOT NULL",
    "CREATE TABLE removed (revision INTEGER NOT NULL, user_id INTEGER NOT NULL)",  # numbers only, no names
    "CREATE INDEX removed_by_revision ON removed (revision)",
)
STEPS = (VERSION_1, VERSION_2)  # a new file takes all of them, an older one those it lacks


class GalleryFile(NamedTuple):
    """An open gallery file, and which model's embeddings it holds."""

    path: Path
    connection: sqlite3.Connection
    fingerprint: str
    dim: int
    seal: Seal


def open_file(
    path: str | os.PathLike[str], fingerprint: str | None, dim: int | None, key: KeySource | None = None
) -> GalleryFile:
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
            _configure(connection, path)
            with transaction(connection):  # two processes may create the same gallery at once
                created = _migrate(connection, path, fingerprint, dim)
                held_fingerprint, held_dim = _model(connection, path, fingerprint, dim)
                seal = _seal(connection, path, key, created)
        except BaseException:
            connection.close()
            raise
    return GalleryFile(path, connection, held_fingerprint, held_dim, seal)


@contextmanager
def gallery_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise GalleryError(f"cannot use the gallery {path}: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """All or nothing; DEFERRED for one consistent reading."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def empty_log(connection: sqlite3.Connection) -> bool:
    """Carry the write-ahead log into the file and cut it to nothing; False if a reader was in the way too long."""
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def side_files(path: Path) -> list[Path]:
    """Every file of the gallery."""
    return [file for suffix in ("", "-wal", "-shm", "-journal") if (file := Path(f"{path}{suffix}")).exists()]


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise GalleryError(f"{path} is a database of something else, not a gallery: give another path")
    # temp_store: VACUUM copies everybody, and that copy must not reach another disk.
    for setting in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {setting}")
    for setting in ("secure_delete = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")


def _migrate(connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None) -> bool:
    """Bring the schema to our version; True if the gallery is new."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and (fingerprint is None or dim is None):
        raise GalleryError(f"{path} holds no gallery yet: enrol somebody first")
    if version > SCHEMA_VERSION:
        raise GalleryError(
            f"{path} has gallery format {version}, this program reads {SCHEMA_VERSION}: update speaker-id"
        )
    if version < SCHEMA_VERSION:
        for statement in (statement for step in STEPS[version:] for statement in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if version == 0:
        connection.execute("INSERT INTO meta (fingerprint, dim) VALUES (?, ?)", (fingerprint, dim))
    return version == 0


def _model(connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None) -> tuple[str, int]:
    held_fingerprint, held_dim = connection.execute("SELECT fingerprint, dim FROM meta").fetchone()
    if fingerprint is not None and (fingerprint, dim) != (held_fingerprint, held_dim):
        raise GalleryError(
            f"{path} holds embeddings of model {held_fingerprint[:12]} ({held_dim} numbers each), which cannot be "
            f"compared with those of model {fingerprint[:12]} ({dim}): use another gallery file, or enrol everybody "
            "again in a new one"
        )
    return held_fingerprint, held_dim


def _seal(connection: sqlite3.Connection, path: Path, key: KeySource | None, created: bool) -> Seal:
    if created:
        seal = open_seal(key) if key is not None else Plain()
        connection.execute("UPDATE meta SET key_check = ?", (seal.key_check(),))
        return seal
    (key_check,) = connection.execute("SELECT key_check FROM meta").fetchone()
    if key_check is None:
        if key is not None:
            raise GalleryError(f"{path} is not encrypted: open it without a key, or encrypt it with rotate_key")
        return Plain()
    if key is None:
        raise GalleryError(f"{path} is encrypted: give its key")
    seal = open_seal(key)
    if not seal.fits(key_check):
        raise GalleryError(f"this is not the key of {path}: give the one that it was encrypted with")
    return seal
