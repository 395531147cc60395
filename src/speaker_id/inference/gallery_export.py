"""A whole gallery as one portable file, and back.

A safetensors file, so that no code of anybody runs: `embeddings` (N, E) float32, user after user; `users`, the bytes of
a JSON list with name, number of recordings, times and details; and in the header format, version and the model's
fingerprint. Where recordings were asked for, `recordings` holds the bytes of their files one after the other, and each
entry of the list the sizes, null for one that was not kept. It is not encrypted, whatever the gallery was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import Enrolled, FloatArray, Gallery, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.private_file import refuse_existing, write_private

FORMAT, VERSION = "speaker_id gallery", "1"


class Exported(NamedTuple):
    """One user of an export."""

    user: str
    details: UserDetails
    embeddings: FloatArray  # (n, E), unit rows
    enrolled: datetime | None = None  # first recording kept
    recordings: tuple[bytes | None, ...] | None = None  # None: they were not asked for


class Export(NamedTuple):
    """What an export holds; `fingerprint` and `dim` (E) are those of the model."""

    fingerprint: str
    dim: int
    users: tuple[Exported, ...]


def write_export(
    gallery: Gallery, path: Path, *, with_recordings: bool = False, replace: bool = False, by: str | None = None
) -> tuple[int, int]:
    """Write everybody who is enrolled, readable by the owner alone; returns how many users and recordings.

    The gallery notes the copy first. Users who are enrolled or removed meanwhile may be in it or not, each whole.
    Raises GalleryError, ConfigError.
    """
    from safetensors.numpy import save

    refuse_existing(path, replace=replace)
    gallery.record_copy(f"export {path.absolute()}", by=by)
    entries, rows, files = [], [np.zeros((0, gallery.dim), np.float32)], list[bytes]()
    for enrolled in filter(None, map(gallery.enrolled, gallery.users())):
        embeddings = gallery.embeddings(enrolled.user)  # none: removed since the line above
        recordings = gallery.recordings(enrolled.user)[: len(embeddings)] if with_recordings else None
        if 0 < len(embeddings) == len(embeddings if recordings is None else recordings):
            entries.append(_entry(enrolled, len(embeddings), recordings))
            rows.append(embeddings)
            files += filter(None, recordings or ())
    text = np.frombuffer(json.dumps(entries).encode(), np.uint8)
    header = {"format": FORMAT, "version": VERSION, "fingerprint": gallery.fingerprint}
    tensors: dict[str, NDArray[Any]] = {"embeddings": np.concatenate(rows), "users": text}
    if with_recordings:
        tensors["recordings"] = np.frombuffer(b"".join(files), np.uint8)
    write_private(path, save(tensors, metadata=header), replace=replace)
    return len(entries), sum(map(len, rows))


def read_export(path: Path) -> Export:
    """Read and check an export. Raises GalleryError for anything else, and for one that is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise GalleryError(f"{path} is no exported gallery: `speaker-id export-gallery FILE` writes one")
            if header.get("version") != VERSION:
                raise GalleryError(f"{path} is an export of version {header.get('version')}: update speaker_id")
            embeddings, text = file.get_tensor("embeddings"), file.get_tensor("users")
            files = file.get_tensor("recordings").tobytes() if "recordings" in file.keys() else None  # noqa: SIM118
        users = tuple(_users(json.loads(text.tobytes()), _checked(embeddings), files))
        return Export(header["fingerprint"], embeddings.shape[1], users)
    except OSError as error:
        raise GalleryError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise GalleryError(f"{path} is no exported gallery, or was cut short: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # JSON of another shape
        raise GalleryError(f"{path} is damaged ({error}): export the gallery again") from error


def _entry(enrolled: Enrolled, num: int, recordings: list[bytes | None] | None) -> dict[str, Any]:
    details = enrolled.details
    sizes = [None if file is None else len(file) for file in recordings or ()]
    return {
        "user": enrolled.user,
        "num_recordings": num,
        "enrolled": enrolled.enrolled.isoformat(),
        "changed": enrolled.changed.isoformat(),
        "metadata": dict(details.metadata),
        "consent": details.consent,
        "expires": None if details.expires is None else details.expires.isoformat(),
        **({} if recordings is None else {"recordings": sizes}),
    }


def _checked(embeddings: FloatArray) -> FloatArray:
    if embeddings.ndim != 2 or embeddings.dtype != np.float32 or embeddings.shape[1] < 1:
        raise ValueError(f"embeddings are {embeddings.dtype} of shape {embeddings.shape}")
    if not np.all(np.abs(np.linalg.norm(embeddings, axis=1) - 1) < 1e-3):  # NaN compares false
        raise ValueError("an embedding is not of length one")
    return embeddings


def _users(entries: Any, embeddings: FloatArray, files: bytes | None) -> Iterator[Exported]:
    first, names, start = 0, set[str](), 0
    for entry in entries:
        name, num = entry["user"], entry["num_recordings"]
        if not isinstance(name, str) or not isinstance(num, int) or num < 1 or name in names:
            raise ValueError(f"entry {len(names) + 1} is no user, or the same one again")
        names.add(name)
        expires = None if entry["expires"] is None else datetime.fromisoformat(entry["expires"])
        details = UserDetails(dict(entry["metadata"]), entry["consent"], expires)
        enrolled = datetime.fromisoformat(entry["enrolled"])
        recordings = None if files is None else tuple(_files(entry["recordings"], files, start))
        yield Exported(name, details, embeddings[first : first + num], enrolled, recordings)
        first += num
        start += sum(map(len, filter(None, recordings or ())))
    if first != len(embeddings) or start != len(files or b""):
        raise ValueError(f"its users have {first} recordings, it holds {len(embeddings)}")


def _files(sizes: Any, files: bytes, start: int) -> Iterator[bytes | None]:
    for size in sizes:
        if size is not None and not (isinstance(size, int) and 0 < size <= len(files) - start):
            raise ValueError(f"a recording of {size} bytes, {len(files) - start} are left")
        yield None if size is None else files[start : start + size]
        start += size or 0
