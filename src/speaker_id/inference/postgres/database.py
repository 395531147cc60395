"""Connections to PostgreSQL: a pool, transactions, and errors in our words."""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from speaker_id.errors import GalleryError
from speaker_id.inference.postgres.address import Address

Connection: TypeAlias = "psycopg.Connection[Any]"

CONNECT_SECONDS = 10
WAIT_SECONDS = 5.0  # for a connection: either all are at work, or the database is away
BUSY_SECONDS = 30  # for one statement, waiting for other writers included
STALLED_SECONDS = 60  # a client that stops in the middle of a transaction holds everybody's writing up


class Database:
    """One gallery's schema, for any number of threads. Every connection is in autocommit and speaks UTC and UTF-8."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._pool: ConnectionPool[Connection] | None = None

    def connect(self) -> Connection:
        """A connection outside the pool; its failure says why at once."""
        connection: Connection = psycopg.connect(**self._parameters())
        _configure(connection)
        return connection

    def open_pool(self) -> None:
        """Connections are made when they are first wanted; one that the server dropped is replaced."""
        self._pool = ConnectionPool(
            kwargs=self._parameters(),
            min_size=0,
            max_size=self.address.connections,
            timeout=WAIT_SECONDS,
            reconnect_timeout=WAIT_SECONDS,  # then the next call tries anew, at once
            check=_check,
            configure=_configure,
            name="speaker-id gallery",
            open=True,
        )

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One connection in autocommit: each statement by itself."""
        assert self._pool is not None
        with self.errors(), self._pool.connection() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the gallery."""
        with self.connection() as connection, one_moment(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all or nothing."""
        with self.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What PostgreSQL says, as a GalleryError that names the gallery and holds no password."""
        shown = self.address.shown
        try:
            yield
        except PoolClosed as error:
            raise GalleryError(f"the gallery {shown} is closed") from error
        except PoolTimeout as error:
            raise GalleryError(
                f"no connection to {shown} within {WAIT_SECONDS:.0f} s: is the database running, and are "
                f"{self.address.connections} connections a process enough (?connections=)?"
            ) from error
        except psycopg.errors.LockNotAvailable as error:
            raise GalleryError(
                f"another process has been writing to {shown} for {BUSY_SECONDS} s: try again"
            ) from error
        except (psycopg.Error, OSError) as error:
            raise GalleryError(f"cannot use the gallery {shown}: {self._said(error)}") from error

    def _said(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        password = self.address.password
        return text.replace(password, "***") if password else text

    def _parameters(self) -> dict[str, Any]:
        """The URL's own options come last and have the last word."""
        given = self.address.parameters
        settings = {
            "search_path": self.address.schema,
            "timezone": "UTC",
            "statement_timeout": f"{BUSY_SECONDS + 5}s",
            "lock_timeout": f"{BUSY_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{STALLED_SECONDS}s",
            "hnsw.ef_search": str(self.address.ef_search),
            "hnsw.iterative_scan": "strict_order",  # go on until enough are found that are not expired
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return {
            "application_name": "speaker-id",
            "connect_timeout": str(CONNECT_SECONDS),
            **given,
            "client_encoding": "utf8",
            "options": f"{options} {given.get('options', '')}".strip(),
            "autocommit": True,
        }


def one_row(connection: Connection, query: LiteralString, *parameters: object) -> tuple[Any, ...]:
    """Of a query that always answers with one."""
    row: tuple[Any, ...] | None = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """A transaction that reads: all of it sees what was committed before its first statement."""
    connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
    try:
        with connection.transaction():
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = connection.read_only = None


def _configure(connection: Connection) -> None:
    """Acknowledged means on the disk, whatever the database's default; what is stricter stays."""
    query = """SELECT set_config('synchronous_commit', 'on', false)
               WHERE current_setting('synchronous_commit') IN ('off', 'local')"""
    connection.execute(query)


def _check(connection: Connection) -> None:
    """A server that went away has closed the socket, which can then be read; only such a one is asked, and fails."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        readable = selector.select(0)
    if readable:
        ConnectionPool.check_connection(connection)
