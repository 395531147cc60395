"""Pages out of a write-ahead log, compared with SQLite's own reading of the file."""

import sqlite3
from pathlib import Path

import pytest

from speaker_id.inference.gallery_log import committed_pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "any.db"


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, content BLOB)")
    return connection


def check(connection: sqlite3.Connection, pages: dict[int, bytes]) -> None:
    whole = connection.serialize()
    size = len(next(iter(pages.values())))
    assert all(page == whole[(number - 1) * size : number * size] for number, page in pages.items() if number > 1)


def test_the_pages_are_those_that_sqlite_reads(path: Path) -> None:
    connection = opened(path)
    for i in range(300):
        connection.execute("INSERT INTO t (content) VALUES (?)", (bytes([i % 256]) * (37 * i % 9000),))
        if i % 7 == 0:
            connection.execute("DELETE FROM t WHERE id = ?", (i // 2,))
    pages = committed_pages(path)
    assert len(pages) == connection.execute("PRAGMA page_count").fetchone()[0]
    check(connection, pages)
    connection.close()


def test_what_was_not_committed_is_not_read(path: Path) -> None:
    connection = opened(path)
    connection.execute("INSERT INTO t (content) VALUES ('kept')")
    connection.execute("PRAGMA cache_size = 10")
    before = path.with_name("any.db-wal").stat().st_size
    connection.execute("BEGIN")
    connection.execute("UPDATE t SET content = 'lost'")
    connection.execute("INSERT INTO t (content) VALUES (zeroblob(1000000))")
    assert path.with_name("any.db-wal").stat().st_size > before  # it did not wait for the commit
    content = b"".join(committed_pages(path).values())
    assert b"kept" in content
    assert b"lost" not in content
    connection.execute("ROLLBACK")
    connection.close()


def test_frames_from_before_the_log_began_anew_are_not_read(path: Path) -> None:
    connection = opened(path)
    connection.execute("INSERT INTO t (content) VALUES (?)", (b"old" * 30000,))
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO t (content) VALUES ('new')")
    assert b"oldold" in path.with_name("any.db-wal").read_bytes()
    pages = committed_pages(path)
    assert b"new" in b"".join(pages.values())
    assert len(pages) < 5
    check(connection, pages)
    connection.close()


@pytest.mark.parametrize("log", [None, b"", b"short", bytes(5000)], ids=["none", "empty", "short", "zeros"])
def test_what_is_no_log_has_no_pages(path: Path, log: bytes | None) -> None:
    if log is not None:
        path.with_name("any.db-wal").write_bytes(log)
    assert committed_pages(path) == {}
