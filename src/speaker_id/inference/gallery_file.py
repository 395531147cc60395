"""The file behind a gallery: its settings, its transactions, and whether a file is one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_schema import APPLICATION_ID, is_current, migrate
from speaker_id.inference.gallery_seal import KeySource, Seal

BUSY_SECONDS = 30.0  # how long to wait for another process's transaction
LOG_SECONDS = 3.0  # how long to try and empty the log while others do


class GalleryFile(NamedTuple):
    """An open gallery file, and which model's embeddings it holds."""

    path: Path
    connection: sqlite3.Connection
    fingerprint: str
    dim: int
    seal: Seal
    tag_key: bytes


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
            # Two processes may create the same gallery at once; one that is there is opened while others write.
            with transaction(connection, "DEFERRED" if is_current(connection) else "IMMEDIATE"):
                seal, tag_key = migrate(connection, path, fingerprint, dim, key)
                held_fingerprint, held_dim = _model(connection, path, fingerprint, dim)
            if not connection.execute("SELECT tidy FROM meta").fetchone()[0]:  # it comes from an older version
                write_anew(connection)
        except BaseException:
            connection.close()
            raise
    return GalleryFile(path, connection, held_fingerprint, held_dim, seal, tag_key)


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
    """Carry the write-ahead log into the file and cut it to nothing; False if a reader was in the way too long.

    SQLite waits for readers and writers by itself, but not for another process that does the same.
    """
    end = time.monotonic() + LOG_SECONDS
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def write_anew(connection: sqlite3.Connection) -> None:
    """The whole file again, without anything that is not in use; outside of transactions."""
    connection.execute("VACUUM")
    connection.execute("UPDATE meta SET tidy = 1, free_pages = 0")
    empty_log(connection)


def num_free_pages(connection: sqlite3.Connection) -> int:
    (num,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(num)


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
    # foreign_keys: what a migration drops must not take other tables' rows along.
    for setting in ("secure_delete = ON", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {setting}")


def _model(connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None) -> tuple[str, int]:
    held_fingerprint, held_dim = connection.execute("SELECT fingerprint, dim FROM meta").fetchone()
    if fingerprint is not None and (fingerprint, dim) != (held_fingerprint, held_dim):
        raise GalleryError(
            f"{path} holds embeddings of model {held_fingerprint[:12]} ({held_dim} numbers each), which cannot be "
            f"compared with those of model {fingerprint[:12]} ({dim}): use another gallery file, or enrol everybody "
            "again in a new one"
        )
    return held_fingerprint, held_dim
