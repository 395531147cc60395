"""Where somebody speaks in the recordings of a data list: every one is listened to once, what is found kept.

It lies beside the list in `LIST.speech-DIGEST.npz`; the digest is that of the detector and the sample rate, so that
another detector's finds lie beside it. A recording is known by its name in the list, its size and its time of change.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from filelock import FileLock, Timeout

from speaker_id import audio
from speaker_id.contracts import SpeechDetector, Stretches
from speaker_id.data.dataset import located
from speaker_id.data.lists import DataList
from speaker_id.data.speech import Speech
from speaker_id.errors import AudioError, DataError, NoSpeech
from speaker_id.vad.stretches import total

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0  # of work are lost at most when it is interrupted
MAX_THREADS = 16
KEY_BYTES = 16
_AT_ONCE = 256  # recordings between two looks at the clock

Found = dict[bytes, Stretches]


def find_speech(data: DataList, detector: SpeechDetector, *, sample_rate: int) -> Speech:
    """The stretches of speech of every row; recordings that were listened to before are not read again.

    All processors listen. Of several processes with one list the first does, the others wait and read what it kept.
    Raises DataError naming list and row for a recording that cannot be read, and for one without speech.
    """
    file = _file(data, detector, sample_rate)
    keys = [_key(data, row) for row in range(len(data.utterances))]
    with _alone_with(file) as writable:
        found = _read(file)
        missing = [row for row, key in enumerate(keys) if key not in found]
        if missing:
            logger.info("%s: looking for speech in %d recordings (%s)", data.source, len(missing), detector.identity)
            save = partial(_write, file, found) if writable else lambda: None
            _listen(data, missing, keys, detector, sample_rate, found, save=save)
    every = [found[key] for key in keys]
    _refuse_silence(data, every)
    return Speech(np.concatenate(every), np.cumsum([0, *map(len, every)]))


def _listen(
    data: DataList,
    rows: Sequence[int],
    keys: Sequence[bytes],
    detector: SpeechDetector,
    sample_rate: int,
    found: Found,
    *,
    save: Callable[[], None],
) -> None:
    """Add the stretches of `rows` to `found`, and save them now and then, and whatever ends it."""

    def heard(row: int) -> Stretches:
        try:
            return detector(audio.load(data.utterances[row].path, sample_rate), sample_rate)
        except AudioError as error:
            raise located(error, data, row) from error

    saved = time.monotonic()
    try:
        with listeners(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            for begin in range(0, len(rows), _AT_ONCE):
                some = rows[begin : begin + _AT_ONCE]
                for row, stretches in zip(some, pool.map(heard, some), strict=True):
                    found[keys[row]] = stretches
                if time.monotonic() - saved > SAVE_SECONDS:
                    save()
                    saved = time.monotonic()
                    logger.info("%s: listened to %d of %d recordings", data.source, begin + len(some), len(rows))
    finally:
        save()


@contextmanager
def listeners(num: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for a detector's work, each with one torch thread of its own: more would wait for each other."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(num, "listening", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # this thread's is what it was, but new ones would begin with one


def _refuse_silence(data: DataList, every: Sequence[Stretches]) -> None:
    silent = [row for row, stretches in enumerate(every) if total(stretches) == 0]
    if silent:
        others = f"; {len(silent)} recordings of the list are such" if len(silent) > 1 else ""
        error = NoSpeech(f"{data.utterances[silent[0]].name} holds no speech; leave it out of the list{others}")
        raise located(error, data, silent[0])


def _file(data: DataList, detector: SpeechDetector, sample_rate: int) -> Path:
    digest = blake2b(f"{detector.identity} {sample_rate}".encode(), digest_size=4).hexdigest()
    return Path(f"{data.source}.speech-{digest}.npz")


def _key(data: DataList, row: int) -> bytes:
    path, _, name = data.utterances[row]
    try:
        state = Path(path).stat()
    except OSError as error:
        reason = AudioError(f"{path} cannot be opened: {error.strerror or error}; check the path")
        raise located(reason, data, row) from error
    text = f"{name}\0{state.st_size}\0{state.st_mtime_ns}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).digest()


@contextmanager
def _alone_with(file: Path) -> Iterator[bool]:
    """Hold the file's lock; False, and none, where nothing can be written."""
    if not os.access(file.parent, os.W_OK):
        logger.warning("%s cannot be written to: what is found there is not kept for the next time", file.parent)
        yield False
        return
    lock = FileLock(file.with_name(f".{file.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("another process listens to the recordings of %s; waiting for it", file)
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()


def _read(file: Path) -> Found:
    """What was kept; nothing where there is no file, or one that is none of ours: it is found anew."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            keys, counts, stretches = kept["keys"], kept["counts"], kept["stretches"]
            parts = np.split(stretches.reshape(-1, 2), np.cumsum(counts)[:-1])
            return dict(zip((key.tobytes() for key in keys), parts, strict=True))
    except FileNotFoundError:
        return {}
    except (OSError, EOFError, BadZipFile, LookupError, TypeError, ValueError) as error:
        logger.warning("%s cannot be used (%s): the recordings are listened to again", file, error)
        return {}


def _write(file: Path, found: Found) -> None:
    """Whole, or not at all. Raises DataError when the disk refuses."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as opened:
            np.savez(
                opened,
                keys=np.frombuffer(b"".join(found), np.uint8).reshape(-1, KEY_BYTES),
                counts=np.array([len(stretches) for stretches in found.values()], np.int64),
                stretches=np.concatenate([np.zeros((0, 2), np.int64), *found.values()]),
            )
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"cannot write {file}: {error}; it holds where somebody speaks in {file.parent}") from error
