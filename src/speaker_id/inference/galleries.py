"""Where users are kept: one way to open any gallery, a file or a database."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from speaker_id.contracts import Gallery
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.gallery_seal import KeySource

SCHEMES = ("postgresql://", "postgres://")

GalleryLocation = str | os.PathLike[str]  # the path of a file, or the URL of a database


@runtime_checkable
class RotatesKey(Protocol):
    """A gallery whose key can be changed: from None encrypts it, to None decrypts it."""

    def rotate_key(self, old: KeySource | None, new: KeySource | None, *, by: str | None = None) -> None: ...


@runtime_checkable
class BacksUp(Protocol):
    """A gallery that can copy itself to a file, and notes the copy."""

    def backup(self, path: Path, *, replace: bool = False, by: str | None = None) -> None: ...


class GalleryOptions(NamedTuple):
    """How a gallery is opened; the same for every kind, but where it says otherwise."""

    best: int | None = None  # score by the mean of the best k cosines; None: by the direction of the mean voice
    key: KeySource | None = None  # 32 bytes, a file that holds them, or "env:NAME": what is stored is sealed with it
    grace: timedelta = timedelta(0)  # how long `remove` can be undone
    keep_recordings: bool = False  # store the recordings too; needs a key
    hnsw: bool = False  # PostgreSQL only: approximate search


USUAL = GalleryOptions()


def open_gallery(
    location: GalleryLocation,
    *,
    fingerprint: str | None = None,
    dim: int | None = None,
    options: GalleryOptions = USUAL,
) -> Gallery:
    """Open the gallery at a path, or at the `postgresql://` URL of a database.

    With `fingerprint` and `dim` (E) of a model it is created where there is none; without them an existing one opens
    for what needs no model. Raises GalleryError for one that cannot be opened or holds the embeddings of another
    model, ConfigError for options that do not fit.
    """
    if is_database(location):
        try:
            from speaker_id.inference.postgres.gallery import PostgresGallery
        except ImportError as error:
            raise GalleryError(
                f"a gallery in PostgreSQL needs {error.name}: pip install 'speaker-id[postgres]'"
            ) from error
        return PostgresGallery.open(str(location), fingerprint=fingerprint, dim=dim, options=options)
    if options.hnsw:
        raise ConfigError("hnsw is for galleries in PostgreSQL: a gallery file is searched exactly")
    return SqliteGallery.open(
        location,
        fingerprint=fingerprint,
        dim=dim,
        best=options.best,
        key=options.key,
        grace=options.grace,
        keep_recordings=options.keep_recordings,
    )


def is_database(location: GalleryLocation) -> bool:
    return isinstance(location, str) and location.lower().startswith(SCHEMES)


def shown_location(location: GalleryLocation) -> str:
    """The location as it may be printed and logged: without the password and the other parameters of a URL."""
    if not is_database(location):
        return os.fspath(location)
    scheme, _, rest = str(location).partition("://")
    base, _, parameters = rest.partition("?")
    account, at, place = base.rpartition("@")  # whatever the password is written with
    place = re.sub(r":(?![0-9]*[,/]|[0-9]*$|[0-9a-f:.]*\])[^/]*", "", place)  # no port: the beginning of one
    gallery = re.search(r"(?:^|&)(gallery=[a-z0-9_]+)(?:&|$)", parameters)
    return f"{scheme.lower()}://{account.partition(':')[0]}{at}{place}{'?' + gallery[1] if gallery else ''}"
