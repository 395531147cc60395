"""Mutated recordings and hostile names through the library, in processes that may die or hang and are told of."""

import contextlib
import faulthandler
import os
import random
import sys
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from hostile import words
from hostile.mutations import mutated
from hostile.sounds import flac
from hostile.watched import Outcome

MEGABYTES = 512  # on top of what Python and its libraries have: what the service allows, too
RATE = 16_000


def work(pipe: Connection, seed: int, folder: Path) -> None:
    with (folder / f"worker-{os.getpid()}.log").open("wb") as log:
        os.dup2(log.fileno(), 2)  # decoders in C write of what they meet
    faulthandler.enable()
    trials = Trials(seed, folder)
    _limit_memory()
    pipe.send("ready")
    while True:
        pipe.send(trials.outcome(pipe.recv()))


def _limit_memory() -> None:
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEGABYTES * 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Trials:
    """A recognizer on a very small model, and a gallery of two that no case may change."""

    def __init__(self, seed: int, folder: Path) -> None:
        from inference.tiny_model import tiny_bundle
        from speaker_id import Recognizer

        own = folder / f"worker-{os.getpid()}"
        self._seed = seed
        self._file = own / "recording"
        tiny_bundle(own / "bundle")
        self._recognizer = Recognizer.load(own / "bundle", gallery=own / "gallery.db")
        self._honest = flac()
        for user, pitch in (("Ada", 110.0), ("Bob", 230.0)):
            self._recognizer.enrol(user, flac(pitch=pitch))
        self._users = self._recognizer.users()
        self._unraisable: list[str] = []
        sys.unraisablehook = lambda seen: self._unraisable.append(f"{seen.exc_value!r} in {seen.object!r}")
        warnings.simplefilter("error")

    def outcome(self, number: int) -> Outcome:
        """What becomes of one case; whatever is not as it should be is a failure, whoever raised it."""
        cpu, peak = time.process_time(), _peak_mb()
        try:
            kind, detail = self._tried(mutated(self._seed, number).content, number), ""
            if number % 10 == 0:
                self._try_words(random.Random(f"{self._seed} words {number}"))
            users = self._recognizer.users()
            _check(users == self._users, f"the gallery has changed: {set(users) ^ set(self._users)}")
        except Exception as error:  # noqa: BLE001 (to be told of all of them is what this is for)
            kind, detail = "failed", f"{type(error).__name__}: {error}"[:500]
            self._users = self._recognizer.users()  # of what comes next this case is not the cause
        if self._unraisable:
            kind, detail = "failed", "; ".join(self._unraisable)[:500]
            self._unraisable.clear()
        return Outcome(kind, detail, time.process_time() - cpu, _peak_mb() - peak)

    def _tried(self, content: bytes, number: int) -> str:
        from speaker_id.errors import AudioError

        source = content
        if number % 4 == 0:
            self._file.write_bytes(content)
            source = self._file
        try:
            self._hear(source)
            self._use(source, number)
        except AudioError as error:
            _check(bool(str(error)), "an error without words")
            if number % 3 == 0:
                self._check_that_nobody_is_enrolled_by_halves(source)
            return "refused"
        return "sound"

    def _use(self, source: bytes | Path, number: int) -> None:
        """In one of three ways; all would take too long for thousands."""
        if number % 3 == 0:
            score = self._recognizer.compare(source, self._honest).score
            _check(abs(score) <= 1, f"a score of {score}")
        elif number % 3 == 1:
            self._recognizer.identify(source)
        else:
            self._hear_the_end(source)

    def _hear(self, source: bytes | Path) -> None:
        from speaker_id import audio

        header = audio.info(source)
        waveform = audio.load(source, RATE)
        _check(waveform.shape == (audio.num_samples_at(header, RATE),), "another length than the header promises")
        _check(waveform.dtype == np.float32, f"samples of {waveform.dtype}")
        _check(bool(np.abs(waveform).max() <= 1), "louder than full scale, or not a number")

    def _hear_the_end(self, source: bytes | Path) -> None:
        """As a crop, for which a damaged file may be refused though it was read from its beginning."""
        from speaker_id import audio
        from speaker_id.errors import AudioError

        start = audio.num_samples_at(audio.info(source), RATE) - 1000
        with contextlib.suppress(AudioError):
            _check(len(audio.load(source, RATE, start=start, num=1000)) == 1000, "a crop of another length")

    def _check_that_nobody_is_enrolled_by_halves(self, source: bytes | Path) -> None:
        from speaker_id.errors import AudioError

        try:
            self._recognizer.enrol("Eve", self._honest, source)
        except AudioError:
            return
        self._recognizer.remove("Eve")
        raise AssertionError("enrolled with a recording that is refused")

    def _try_words(self, rng: random.Random) -> None:
        from speaker_id.contracts import UserDetails
        from speaker_id.errors import GalleryError

        name = words.name(rng)
        try:
            details = UserDetails({words.name(rng): words.name(rng)}, words.name(rng))
            self._recognizer.enrol(name, self._honest, details=details)
        except GalleryError:
            return
        _check(self._recognizer.users().get(name) == 1, f"{name!r} is not listed")
        kept = self._recognizer.enrolled(name)
        _check(kept is not None and kept[4] == details, f"kept of {name!r}: {kept}, not {details}")
        self._recognizer.remove(name)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _peak_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
