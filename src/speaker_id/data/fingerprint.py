"""What a model has seen, as digests in its checkpoint: enough to notice a recording again, too little to read a name.

A digest is 8 bytes of BLAKE2b, keyed with a salt of the checkpoint's own, so that no table made once looks the names
of many checkpoints up. Whoever holds a checkpoint can still test a guess: is this speaker, is this recording in it?
That is what it is for; where even that is too much, train with `data.fingerprint=none`.

Three things are noted of a data list. Its speakers: their labels. Its recordings: the last three parts of their paths,
`corpus/speaker/1.wav`, which outlive a move to another machine. Their sound: the decoded samples of the one second in
the middle, with length and sample rate, so that a copy under another name is noticed, a FLAC of a WAV or a file with
new tags too; resampled, cut or lossily coded copies are not.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import audio
from speaker_id.data.dataset import located
from speaker_id.data.lists import DataList
from speaker_id.errors import AudioError, DataError

Detail = Literal["full", "names"]
Role = Literal["training", "selection"]

DIGEST = np.dtype("<i8")  # numbers, because checkpoints hold tensors; one in 10^8 lists meets a false one among 10^11
SALT_BYTES = 16
MAX_THREADS = 8  # they wait for the disk
PATH_PARTS = 3
COLUMNS = ("speakers", "names", "sounds")


@dataclass(frozen=True)
class ListFingerprint:
    """Digests of one data list, each column sorted and end to end; `sounds` is None when nobody listened."""

    role: Role  # "selection": a validation list, which chose the best epoch
    salt: bytes
    speakers: bytes
    names: bytes
    sounds: bytes | None

    def digest(self, key: bytes) -> int:
        return int.from_bytes(blake2b(key, digest_size=8, key=self.salt).digest(), "little", signed=True)

    def holds(self, column: str, keys: Iterable[bytes]) -> NDArray[np.bool_]:
        """Whether each key (M,) is in the column."""
        found = np.fromiter(map(self.digest, keys), DIGEST)
        return np.isin(found, np.frombuffer(getattr(self, column) or b"", DIGEST))


@dataclass(frozen=True)
class SeenData:
    """Every list that shaped a model, those of the models it was started from included."""

    lists: tuple[ListFingerprint, ...]
    complete: bool  # False: it was started from weights that say nothing of their data


class Overlap(NamedTuple):
    """What a data list shares with a fingerprint, in the list's own order and words."""

    speakers: tuple[str, ...]
    recordings: tuple[str, ...]  # the same file
    sounds: tuple[str, ...]  # the same sound under another name


def fingerprint(data: DataList, *, detail: Detail, role: Role = "training") -> ListFingerprint:
    """Note what is in a list; `full` opens every recording once. DataError names one that cannot be read."""
    empty = ListFingerprint(role, os.urandom(SALT_BYTES), b"", b"", None)
    columns = {"speakers": map(_text, data.speakers), "names": (name_key(u.path) for u in data.utterances)}
    if detail == "full":
        columns["sounds"] = iter(sound_keys(data))
    digests = {name: _column(empty.digest, keys) for name, keys in columns.items()}
    return ListFingerprint(role, empty.salt, digests["speakers"], digests["names"], digests.get("sounds"))


def overlap(seen: ListFingerprint, data: DataList, sounds: list[bytes] | None) -> Overlap:
    """What `data` shares with a list that a model has seen; `sounds` are its `sound_keys`.

    Where both sides were listened to, the sound decides: two recordings called `wav/a/1.wav` are then two.
    """
    speakers = [speaker for speaker in data.speakers if speaker]
    shared = seen.holds("speakers", map(_text, speakers))
    same_name = seen.holds("names", (name_key(utterance.path) for utterance in data.utterances))
    listened = seen.sounds is not None and sounds is not None
    same_sound = seen.holds("sounds", sounds or ()) if listened else same_name
    names = np.array([utterance.name for utterance in data.utterances], dtype=object)
    return Overlap(
        tuple(speaker for speaker, is_shared in zip(speakers, shared, strict=True) if is_shared),
        tuple(names[same_sound & same_name]),
        tuple(names[same_sound & ~same_name]),
    )


def name_key(path: str) -> bytes:
    """The last parts of a path, alike on every machine."""
    # As text, a million times: Path.resolve() would ask the disk about every folder, and parts take twice as long.
    parts = os.path.abspath(path).split(os.sep)  # noqa: PTH100, PTH206
    return _text("/".join(parts[-PATH_PARTS:]))


def sound_keys(data: DataList) -> list[bytes]:
    """A digest of the sound of every recording, in the list's order; DataError names one that cannot be read."""

    def key(row: int) -> bytes:
        try:
            return sound_key(data.utterances[row].path)
        except AudioError as error:
            raise located(error, data, row) from error

    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(key, range(len(data.utterances))))


def sound_key(path: str) -> bytes:
    """16 bytes: length, rate and the second in the middle; the whole recording where the middle is silent."""
    num_samples, rate, _ = audio.info(path)
    digest = blake2b(f"{num_samples} {rate} ".encode(), digest_size=16)
    num = min(num_samples, rate)
    if num:  # whoever wants to use an empty recording will say what is wrong with it
        stretch = audio.load(path, rate, start=(num_samples - num) // 2, num=num)
        # Digital silence is alike everywhere.
        digest.update((audio.load(path, rate) if audio.is_silent(stretch) else stretch).tobytes())
    return digest.digest()


def to_arrays(seen: SeenData) -> dict[str, NDArray[Any]]:
    """Named arrays, as checkpoints and bundles hold them."""
    arrays: dict[str, NDArray[Any]] = {"complete": np.array([seen.complete])}
    for number, part in enumerate(seen.lists):
        where = f"{number}.{part.role}"
        arrays[f"{where}.salt"] = np.frombuffer(part.salt, np.uint8).copy()
        for column in COLUMNS:
            if (digests := getattr(part, column)) is not None:
                arrays[f"{where}.{column}"] = np.frombuffer(digests, DIGEST).copy()
    return arrays


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> SeenData:
    """The inverse of `to_arrays`; raises DataError for anything else."""
    parts: dict[tuple[int, Role], dict[str, bytes]] = {}
    for name, array in arrays.items():
        if name == "complete":
            continue
        number, role, column = _parsed(name, array)
        parts.setdefault((number, role), {})[column] = array.tobytes()
    if "complete" not in arrays or any(not {"salt", "speakers", "names"} <= part.keys() for part in parts.values()):
        raise DataError("a part of the fingerprint is missing")
    lists = tuple(
        ListFingerprint(role, part["salt"], part["speakers"], part["names"], part.get("sounds"))
        for (_, role), part in sorted(parts.items())
    )
    return SeenData(lists, bool(np.all(arrays["complete"])))


def _parsed(name: str, array: NDArray[Any]) -> tuple[int, Role, str]:
    number, _, rest = name.partition(".")
    role, _, column = rest.partition(".")
    usual = np.uint8 if column == "salt" else DIGEST
    is_ours = number.isdigit() and column in ("salt", *COLUMNS) and array.ndim == 1 and array.dtype == usual
    if not is_ours or (column == "salt" and array.size != SALT_BYTES):
        raise DataError(f"{name!r} is no part of a fingerprint")
    if role == "training":
        return int(number), "training", column
    if role == "selection":
        return int(number), "selection", column
    raise DataError(f"{name!r} is no part of a fingerprint")


def _column(digest: Callable[[bytes], int], keys: Iterable[bytes]) -> bytes:
    return np.unique(np.fromiter(map(digest, keys), DIGEST)).tobytes()


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
