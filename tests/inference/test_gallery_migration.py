"""Galleries of format 1, made by the statements that made them then."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from speaker_id.contracts import Match, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference import gallery_schema
from speaker_id.inference.gallery import SqliteGallery

X, Y, Z = np.eye(3, dtype="<f4")

FORMAT_1 = """
CREATE TABLE meta (fingerprint TEXT NOT NULL, dim INTEGER NOT NULL);
CREATE TABLE users (
    id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE embeddings (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    vector BLOB NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX embeddings_of_user ON embeddings (user_id);
PRAGMA application_id = 1397771079;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
INSERT INTO meta VALUES ('model', 3);
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gallery.db"
    connection = sqlite3.connect(path)
    connection.executescript(FORMAT_1)
    connection.execute("INSERT INTO users VALUES (1, ?, '2025-01-02 03:04:05')", ("名".encode(),))
    connection.execute("INSERT INTO users VALUES (2, ?, '2025-02-02 00:00:00')", (b"Bob",))
    rows = [(1, X, "2025-01-02 03:04:05"), (2, Z, "2025-02-02 00:00:00"), (1, Y, "2025-03-03 00:00:00")]
    for user_id, row, created in rows:
        query = "INSERT INTO embeddings (user_id, vector, created) VALUES (?, ?, ?)"
        connection.execute(query, (user_id, row.tobytes(), created))
    connection.commit()
    connection.close()
    return path


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def test_a_gallery_of_format_1_is_brought_up_with_everything_in_it(path: Path) -> None:
    with SqliteGallery.open(path, fingerprint="model", dim=3) as gallery:
        assert gallery.users() == {"Bob": 1, "名": 2}
        assert gallery.search(Z, limit=1) == [Match("Bob", 1.0)]
        first, changed = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2025, 3, 3, tzinfo=UTC)
        assert gallery.enrolled("名") == ("名", 2, first, changed, UserDetails())
        np.testing.assert_array_equal(gallery.embeddings("名"), [X, Y])
        assert gallery.update("名", UserDetails(consent="asked again"))
        assert gallery.enrol("Bob", X[None]) == 2
        assert gallery.remove("Bob")
    assert version_of(path) == gallery_schema.SCHEMA_VERSION
    with SqliteGallery.open(path) as gallery:  # a second time there is nothing to do
        assert gallery.users() == {"名": 2}


def test_a_migrated_file_has_the_schema_of_a_new_one(path: Path) -> None:
    SqliteGallery.open(path).close()
    new = path.with_name("new.db")
    SqliteGallery.open(new, fingerprint="model", dim=3).close()
    migrated, made = (
        {name: " ".join((sql or "").split()) for name, sql in sqlite3.connect(file).execute(query)}
        for file in (path, new)
        for query in ("SELECT name, sql FROM sqlite_schema",)
    )
    assert migrated == made


def test_a_migration_that_fails_leaves_the_old_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *steps, last = gallery_schema.STEPS
    monkeypatch.setattr(gallery_schema, "STEPS", (*steps, (*last, "CREATE TABLE users (id)")))
    with pytest.raises(GalleryError, match="already exists"):
        SqliteGallery.open(path)
    assert version_of(path) == 1
    monkeypatch.undo()
    with SqliteGallery.open(path) as gallery:
        assert gallery.users() == {"Bob": 1, "名": 2}


def test_a_gallery_of_format_1_can_be_encrypted(path: Path) -> None:
    key = bytes(range(32))
    with SqliteGallery.open(path) as gallery:
        gallery.rotate_key(None, key)
    with SqliteGallery.open(path, key=key) as gallery:
        assert gallery.users() == {"Bob": 1, "名": 2}
    assert "名".encode() not in path.read_bytes()
