"""The tables of a gallery in PostgreSQL, and whether a schema holds them."""

from __future__ import annotations

from psycopg import sql

from speaker_id.errors import GalleryError
from speaker_id.inference.postgres.database import Connection, one_row

MARK = "speaker_id gallery"  # the comment on the table `meta`: tells a gallery from anything else

# What people write is bytes, since `text` holds no NUL, and sealed where there is a key. `tag` is the HMAC of the name
# under `tag_key`: an index takes no long names. Readers ask for the users and removals of later revisions than their
# own. `erase_at` is when a removed user can no longer be restored. Numbers are never given twice.
VERSION_1 = (
    """CREATE TABLE meta (
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row), version integer NOT NULL,
        fingerprint text NOT NULL, dim integer NOT NULL, revision bigint NOT NULL DEFAULT 0,
        key_check bytea, tag_key bytea NOT NULL, nearest boolean NOT NULL DEFAULT false)""",
    f"COMMENT ON TABLE meta IS '{MARK}'",
    """CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tag bytea NOT NULL UNIQUE, name bytea NOT NULL, details bytea,
        created timestamptz NOT NULL, changed timestamptz NOT NULL, expires timestamptz, erase_at timestamptz,
        revision bigint NOT NULL)""",
    "CREATE INDEX users_by_revision ON users (revision)",
    "CREATE INDEX users_to_erase ON users (LEAST(expires, erase_at)) WHERE expires IS NOT NULL OR erase_at IS NOT NULL",
    """CREATE TABLE embeddings (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
        vector bytea NOT NULL, created timestamptz NOT NULL)""",
    "CREATE INDEX embeddings_of_user ON embeddings (user_id)",
    """CREATE TABLE recordings (
        embedding_id bigint PRIMARY KEY REFERENCES embeddings ON DELETE CASCADE, content bytea NOT NULL)""",
    "ALTER TABLE recordings ALTER content SET STORAGE EXTERNAL",  # sealed: nothing to compress
    "CREATE TABLE removed (revision bigint NOT NULL, user_id bigint NOT NULL)",  # numbers only, no names
    "CREATE INDEX removed_by_revision ON removed (revision)",
    """CREATE TABLE events (
        id bigint PRIMARY KEY, time timestamptz NOT NULL, action text NOT NULL,
        tag bytea, num_recordings integer NOT NULL, made_by bytea)""",
    "CREATE INDEX events_of_user ON events (tag)",
    """CREATE TABLE copies (
        id bigint PRIMARY KEY, time timestamptz NOT NULL, description bytea NOT NULL)""",
)
STEPS = (VERSION_1,)  # a new schema takes all of them, an older one those it lacks


def migrate(connection: Connection, schema: str, shown: str, *, create: bool) -> bool:
    """Bring the schema to our version, all or nothing, one process at a time; True if the gallery is new.

    Nothing is written where it is at our version already. The caller fills `meta` of a new one, in the same
    transaction. Raises GalleryError for a schema of something else, and for one of a newer version.
    """
    version = held_version(connection, schema, shown)
    if version == len(STEPS):
        return False
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{MARK} {schema}",))
    version = held_version(connection, schema, shown)  # somebody else may have been at it
    if version > len(STEPS):
        raise GalleryError(f"{shown} has gallery format {version}, this program reads {len(STEPS)}: update speaker-id")
    if version == 0 and not create:
        raise GalleryError(f"there is no gallery at {shown}: enrol somebody first, or give another URL")
    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    for statement in (statement for step in STEPS[version:] for statement in step):
        connection.execute(statement)
    if 0 < version < len(STEPS):
        connection.execute("UPDATE meta SET version = %s", (len(STEPS),))
    return version == 0


def held_version(connection: Connection, schema: str, shown: str) -> int:
    """The version of the gallery in a schema; 0 where there is none yet."""
    query = """SELECT count(*), max(obj_description(pg_class.oid, 'pg_class')) FILTER (WHERE relname = 'meta')
               FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = %s"""
    num_tables, mark = one_row(connection, query, schema)  # to_regclass would answer from a cache that lags behind
    if mark == MARK:
        (version,) = one_row(connection, "SELECT version FROM meta")
        return int(version)
    if num_tables:
        raise GalleryError(f"the schema {schema} at {shown} is of something else: name another with ?gallery=")
    return 0
