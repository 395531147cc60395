"""What a gallery file is made of, version after version.

What is personal (voices, recordings, names, details) lies in three tables that only grow: rows are appended, and
written over in place with as many bytes. SQLite then never moves such a row, so it leaves no copy of one behind, and
the pages of a removed user's rows are all the places where that user's bytes ever were. What SQLite may move (users,
events, indices) holds numbers, times and tags alone.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_seal import KeySource, Plain, Seal, open_seal

APPLICATION_ID = 0x53504B47  # "SPKG", in the file's header
TAG_BYTES = 16

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
# Readers ask for the users and removals of later revisions than their own. Times are UTC and sort as text.
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
# A number is never given to another user. `tag` is the HMAC of the name under `tag_key`. `erase_at` is when a removed
# user can no longer be restored. In `texts`, `embeddings` and `recordings` a blob is kept, a text was written over it.
VERSION_3 = (
    "ALTER TABLE meta ADD COLUMN tag_key BLOB",
    "ALTER TABLE meta ADD COLUMN written_over INTEGER NOT NULL DEFAULT 0",  # bytes
    "ALTER TABLE meta ADD COLUMN free_pages INTEGER NOT NULL DEFAULT 0",  # that we freed ourselves, and zeroed
    "ALTER TABLE meta ADD COLUMN tidy INTEGER NOT NULL DEFAULT 0",  # 1: no row was ever moved
    "CREATE TABLE texts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, content BLOB NOT NULL)",
    "INSERT INTO texts SELECT 2 * id, id, COALESCE(sealed_name, name) FROM users",
    "INSERT INTO texts SELECT 2 * id + 1, id, details FROM users WHERE details IS NOT NULL",
    """CREATE TABLE users_3 (
        id INTEGER PRIMARY KEY AUTOINCREMENT, tag BLOB NOT NULL UNIQUE, name_id INTEGER NOT NULL, details_id INTEGER,
        created TEXT NOT NULL, changed TEXT NOT NULL, expires TEXT, erase_at TEXT, revision INTEGER NOT NULL)""",
    """INSERT INTO users_3 SELECT id, tag_of(id, name, sealed_name), 2 * id,
        CASE WHEN details IS NOT NULL THEN 2 * id + 1 END, created, changed, expires, NULL, revision FROM users""",
    """CREATE TABLE embeddings_3 (
        id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, vector BLOB NOT NULL, created TEXT NOT NULL)""",
    "INSERT INTO embeddings_3 SELECT id, user_id, vector, created FROM embeddings ORDER BY id",
    "DROP TABLE embeddings",
    "DROP TABLE users",
    "ALTER TABLE users_3 RENAME TO users",
    "ALTER TABLE embeddings_3 RENAME TO embeddings",
    "CREATE INDEX embeddings_of_user ON embeddings (user_id)",
    "CREATE INDEX users_by_revision ON users (revision)",
    "CREATE INDEX users_that_expire ON users (expires) WHERE expires IS NOT NULL",
    "CREATE INDEX users_to_erase ON users (erase_at) WHERE erase_at IS NOT NULL",
    # `id` is the embedding's.
    "CREATE TABLE recordings (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, content BLOB NOT NULL)",
    "CREATE INDEX recordings_of_user ON recordings (user_id)",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, time TEXT NOT NULL, action TEXT NOT NULL, tag BLOB, num_recordings INTEGER NOT NULL,
        made_by BLOB)""",
    "CREATE INDEX events_of_user ON events (tag)",
    "CREATE TABLE copies (id INTEGER PRIMARY KEY, time TEXT NOT NULL, description BLOB NOT NULL)",
)
STEPS = (VERSION_1, VERSION_2, VERSION_3)  # a new file takes all of them, an older one those it lacks
SCHEMA_VERSION = len(STEPS)


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether `migrate` would only read."""
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION)


def migrate(
    connection: sqlite3.Connection, path: Path, fingerprint: str | None, dim: int | None, key: KeySource | None
) -> tuple[Seal, bytes]:
    """Bring the schema to our version, inside the caller's transaction; returns seal and key of the tags."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and (fingerprint is None or dim is None):
        raise GalleryError(f"{path} holds no gallery yet: enrol somebody first")
    if version > SCHEMA_VERSION:
        raise GalleryError(
            f"{path} has gallery format {version}, this program reads {SCHEMA_VERSION}: update speaker-id"
        )
    _run(connection, STEPS[version:2])
    if version == 0:
        seal = open_seal(key)
        query = "INSERT INTO meta (fingerprint, dim, key_check) VALUES (?, ?, ?)"
        connection.execute(query, (fingerprint, dim, seal.key_check()))
    else:
        seal = _fitting_seal(connection, path, key)
    if version < SCHEMA_VERSION:
        tag_key = os.urandom(32)
        connection.create_function("tag_of", 3, lambda *stored: tag_of(_name(seal, *stored), tag_key))
        _run(connection, STEPS[max(2, version) :])
        query = "UPDATE meta SET tag_key = ?, tidy = ?"
        connection.execute(query, (seal.close(tag_key, 0, "tag key"), version == 0))
        connection.execute("UPDATE meta SET free_pages = (SELECT freelist_count FROM pragma_freelist_count)")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        return seal, tag_key
    (sealed,) = connection.execute("SELECT tag_key FROM meta").fetchone()
    return seal, seal.open(sealed, 0, "tag key")


def tag_of(name: bytes, tag_key: bytes) -> bytes:
    """What stands for a name in a gallery: it tells nothing to whoever has not the gallery's key of tags."""
    return hmac.digest(tag_key, name, "sha256")[:TAG_BYTES]


def _run(connection: sqlite3.Connection, steps: Iterable[tuple[str, ...]]) -> None:
    for statement in (statement for step in steps for statement in step):
        connection.execute(statement)


def _name(seal: Seal, user_id: int, name: bytes, sealed_name: bytes | None) -> bytes:
    return name if sealed_name is None else seal.open(sealed_name, user_id, "name")


def _fitting_seal(connection: sqlite3.Connection, path: Path, key: KeySource | None) -> Seal:
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
