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
from speaker_id.inference.gallery_seal import open_seal

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


# What came with format 2: with a key, `name` is an HMAC and `sealed_name` holds it.
FORMAT_2 = """
ALTER TABLE meta ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN key_check BLOB;
ALTER TABLE users ADD COLUMN sealed_name BLOB;
ALTER TABLE users ADD COLUMN details BLOB;
ALTER TABLE users ADD COLUMN changed TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN expires TEXT;
ALTER TABLE users ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE users SET changed = '2025-04-04 00:00:00.000000';
CREATE INDEX users_by_revision ON users (revision);
CREATE INDEX users_that_expire ON users (expires) WHERE expires IS NOT NULL;
CREATE TABLE removed (revision INTEGER NOT NULL, user_id INTEGER NOT NULL);
CREATE INDEX removed_by_revision ON removed (revision);
PRAGMA user_version = 2;
"""
KEY = bytes(range(32))


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_gallery_of_format_2_is_brought_up_with_everything_in_it(path: Path, key: bytes | None) -> None:
    seal = open_seal(key)
    details = b'{"metadata": {"k": "v"}, "consent": "signed"}'
    connection = sqlite3.connect(path)
    connection.executescript(FORMAT_2)
    connection.execute("UPDATE meta SET key_check = ?", (seal.key_check(),))
    connection.execute("UPDATE users SET details = ?, expires = '2999-01-01 00:00:00.000000' WHERE id = 1", (
        seal.close(details, 1, "details"),
    ))  # fmt: skip
    if key is not None:
        for user_id, name in ((1, "名".encode()), (2, b"Bob")):
            values = (seal.close(name, user_id, "name"), user_id)
            connection.execute("UPDATE users SET name = 'hmac ' || id, sealed_name = ? WHERE id = ?", values)
        for row_id, user_id, vector in connection.execute("SELECT id, user_id, vector FROM embeddings").fetchall():
            values = (seal.close(vector, user_id, "embedding"), row_id)
            connection.execute("UPDATE embeddings SET vector = ? WHERE id = ?", values)
    connection.commit()
    connection.close()
    with SqliteGallery.open(path, fingerprint="model", dim=3, key=key) as gallery:
        assert gallery.users() == {"Bob": 1, "名": 2}
        assert gallery.search(Z, limit=1) == [Match("Bob", 1.0)]
        np.testing.assert_array_equal(gallery.embeddings("名"), [X, Y])
        first, changed = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2025, 4, 4, tzinfo=UTC)
        expected = UserDetails({"k": "v"}, "signed", datetime(2999, 1, 1, tzinfo=UTC))
        assert gallery.enrolled("名") == ("名", 2, first, changed, expected)
        assert gallery.events() == []
        report = gallery.erase("名")
        assert report is not None
        assert (report.proof.left, report.proof.rewritten) == (0, False)  # it was written anew when it was opened
        assert gallery.enrol("Cyd", X[None]) == 1
    if key is None:
        assert "名".encode() not in path.read_bytes()
    with SqliteGallery.open(path, key=key) as gallery:
        assert gallery.users() == {"Bob": 1, "Cyd": 1}


def test_what_lay_about_in_an_older_file_is_gone_once_it_is_brought_up(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("CREATE TABLE copy AS SELECT 'somebody removed long ago' AS name")
    connection.execute("DROP TABLE copy")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert b"removed long ago" in path.read_bytes()
    SqliteGallery.open(path).close()
    assert b"removed long ago" not in path.read_bytes()


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
