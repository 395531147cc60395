"""Approximate search: pgvector's HNSW graph over the mean voices (Malkov and Yashunin, 2016, arXiv:1603.09320)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from pgvector import Vector
from psycopg import sql

from speaker_id.contracts import FloatArray, Match
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.centroids import centroids
from speaker_id.inference.gallery_index import starts_of
from speaker_id.inference.gallery_seal import Plain
from speaker_id.inference.postgres.change import Change, changing
from speaker_id.inference.postgres.database import Connection, one_row
from speaker_id.inference.postgres.store import Store
from speaker_id.inference.postgres.users import ALIVE
from speaker_id.inference.postgres.vectors import read_grouped, read_vectors

MAX_DIM = 2000  # of pgvector's index
BUILD_MEMORY = "256MB"  # the graph of 200,000 voices of 192 numbers; with less its making becomes slow

QUERY = f"""SELECT name, direction FROM means JOIN users ON id = user_id WHERE {ALIVE}
            ORDER BY direction OPERATOR({{schema}}.<#>) %(query)s LIMIT %(limit)s"""


class NearestSearch:
    """Answers from the database alone: nothing is read into this process."""

    def __init__(self, store: Store, best: int | None, now: datetime) -> None:
        """Makes the graph where there is none yet. Raises GalleryError, ConfigError where that cannot be."""
        if not isinstance(store.seal, Plain):
            raise ConfigError("hnsw cannot be used with a key: the database would have to read the voices to find them")
        if best is not None:
            raise ConfigError(f"hnsw looks for mean voices, best={best} for single recordings: leave one of them out")
        if store.dim > MAX_DIM:
            raise ConfigError(f"hnsw takes embeddings of at most {MAX_DIM} numbers, these have {store.dim}")
        with changing(store, now) as change:
            if not change.nearest:
                _make(store, change)
            schema = _extension_schema(change.connection)
        self._store = store
        self._query = sql.SQL(QUERY).format(schema=schema)

    def search(self, queries: FloatArray, limit: int, now: datetime) -> list[list[Match]]:
        """Unit rows (Q, E) -> the users most like each, as far as the graph finds them; the scores are exact."""
        parameters = [{"query": _text(row), "limit": limit, "now": now} for row in queries]
        with self._store.database.reading() as connection:
            self._store.revision(connection)  # or a GalleryError
            found = [connection.execute(self._query, each, binary=True).fetchall() for each in parameters]
        return [_matches(*each) for each in zip(found, queries, strict=True)]

    def follow(self) -> None:
        """There is nothing in memory."""


def keep_mean(store: Store, user_id: int, change: Change) -> None:
    """Bring a user's mean voice up to what is kept; nobody's, where the user is gone or hidden."""
    if not change.nearest:
        return
    change.connection.execute("DELETE FROM means WHERE user_id = %s", (user_id,))
    query = """SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id
               WHERE user_id = %s AND erase_at IS NULL ORDER BY embeddings.id"""
    _, rows = read_vectors(store, change.connection.execute(query, (user_id,)).fetchall())
    if len(rows):
        [mean] = centroids(rows, [0])
        change.connection.execute("INSERT INTO means VALUES (%s, %s)", (user_id, _text(mean)))


def drop_means(change: Change) -> None:
    """Before a gallery is sealed: the graph is readable."""
    change.connection.execute("DROP TABLE IF EXISTS means")
    change.connection.execute("UPDATE meta SET nearest = false")


def _make(store: Store, change: Change) -> None:
    connection = change.connection
    _create_extension(connection, store.database.address.shown)
    schema = _extension_schema(connection)
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute(
        """SELECT set_config('maintenance_work_mem', %(size)s, true)
           WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes(%(size)s)""",
        {"size": BUILD_MEMORY},
    )
    table = """CREATE TABLE means (
        user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE, direction {}.vector({}) NOT NULL)"""
    connection.execute(sql.SQL(table).format(schema, sql.Literal(store.dim)))
    query = "SELECT user_id, vector FROM embeddings JOIN users ON users.id = user_id WHERE erase_at IS NULL"
    users, rows = read_grouped(store, connection, f"{query} ORDER BY user_id, embeddings.id", {})
    starts = starts_of(users)
    with connection.cursor().copy("COPY means FROM STDIN") as copy:
        for user_id, mean in zip(users[starts].tolist(), centroids(rows, starts), strict=True):
            copy.write_row((user_id, _text(mean)))
    index = "CREATE INDEX means_nearest ON means USING hnsw (direction {}.vector_ip_ops)"  # of unit rows: the cosine
    connection.execute(sql.SQL(index).format(schema))
    connection.execute("UPDATE meta SET nearest = true")


def _create_extension(connection: Connection, shown: str) -> None:
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
        return
    try:
        connection.execute("CREATE EXTENSION vector SCHEMA public")  # in our own it would go with the gallery
    except psycopg.errors.InsufficientPrivilege as error:
        raise GalleryError(
            f"hnsw needs pgvector in the database of {shown}, and this role may not add it: let the database's owner "
            "say CREATE EXTENSION vector"
        ) from error
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        raise GalleryError(
            f"hnsw needs pgvector, which is not installed on the server of {shown}: install it there, or search exactly"
        ) from error


def _extension_schema(connection: Connection) -> sql.Identifier:
    query = "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    (name,) = one_row(connection, query)
    return sql.Identifier(name)


def _text(row: FloatArray) -> str:
    """As PostgreSQL reads a vector whose type it infers; 9 digits give the same float32 again."""
    return Vector(row).to_text()


def _matches(found: list[tuple[Any, ...]], query: FloatArray) -> list[Match]:
    """The scores in float64, as the index in memory computes them."""
    if not found:
        return []
    directions = np.stack([Vector.from_binary(bytes(direction)).to_numpy() for _, direction in found])
    scores = np.clip((directions.astype(np.float64) * query).sum(axis=1), -1.0, 1.0)
    matches = [Match(bytes(name).decode(), score) for (name, _), score in zip(found, scores.tolist(), strict=True)]
    return sorted(matches, key=lambda match: (-match.score, match.user))
