"""An opened gallery in PostgreSQL: its database, which model's embeddings it holds, and its key."""

from __future__ import annotations

import os
from typing import NamedTuple

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_seal import KeySource, Plain, Seal, open_seal
from speaker_id.inference.postgres.address import Address
from speaker_id.inference.postgres.database import Connection, Database, one_row
from speaker_id.inference.postgres.schema import STEPS, migrate

TAG_KEY = "tag key"  # the column that it is sealed for


class Store(NamedTuple):
    """What every part of a gallery works with."""

    database: Database
    fingerprint: str
    dim: int
    seal: Seal
    tag_key: bytes  # of the names in the audit log

    def revision(self, connection: Connection) -> int:
        """Which change was the last; raises GalleryError if that one took our key away."""
        revision, key_check = one_row(connection, "SELECT revision, key_check FROM meta")
        self.check_key(key_check)
        return int(revision)

    def check_key(self, key_check: bytes | None) -> None:
        """Raises GalleryError if somebody took our key away."""
        if not self.seal.fits(key_check):
            raise GalleryError(f"the key of {self.database.address.shown} was changed: open it again with the new one")


def open_store(address: Address, fingerprint: str | None, dim: int | None, key: KeySource | None) -> Store:
    """Open a gallery, or create it when the model is known; raises GalleryError for what is no gallery of that model.

    The first connection is not of the pool, so that its failure says why, and at once.
    """
    database = Database(address)
    with database.errors(), database.connect() as connection:
        with connection.transaction():
            if migrate(connection, address.schema, address.shown, create=fingerprint is not None and dim is not None):
                _fill(connection, fingerprint, dim, key)
        query = "SELECT fingerprint, dim, key_check, tag_key FROM meta"
        held_fingerprint, held_dim, key_check, stored_tag_key = one_row(connection, query)
    _check_model(address.shown, fingerprint, dim, held_fingerprint, held_dim)
    seal = _seal(address.shown, key, key_check)
    tag_key = seal.open(stored_tag_key, 0, TAG_KEY)
    database.open_pool()
    return Store(database, held_fingerprint, held_dim, seal, tag_key)


def _fill(connection: Connection, fingerprint: str | None, dim: int | None, key: KeySource | None) -> None:
    seal = open_seal(key)
    query = "INSERT INTO meta (version, fingerprint, dim, key_check, tag_key) VALUES (%s, %s, %s, %s, %s)"
    tag_key = seal.close(os.urandom(32), 0, TAG_KEY)
    connection.execute(query, (len(STEPS), fingerprint, dim, seal.key_check(), tag_key))


def _check_model(shown: str, fingerprint: str | None, dim: int | None, held_fingerprint: str, held_dim: int) -> None:
    if fingerprint is not None and (fingerprint, dim) != (held_fingerprint, held_dim):
        raise GalleryError(
            f"{shown} holds embeddings of model {held_fingerprint[:12]} ({held_dim} numbers each), which cannot be "
            f"compared with those of model {fingerprint[:12]} ({dim}): use another gallery (?gallery=NAME), or enrol "
            "everybody again in a new one"
        )


def _seal(shown: str, key: KeySource | None, key_check: bytes | None) -> Seal:
    if key_check is None:
        if key is not None:
            raise GalleryError(f"{shown} is not encrypted: open it without a key, or encrypt it with rotate_key")
        return Plain()
    if key is None:
        raise GalleryError(f"{shown} is encrypted: give its key")
    seal = open_seal(key)
    if not seal.fits(key_check):
        raise GalleryError(f"this is not the key of {shown}: give the one that it was encrypted with")
    return seal
