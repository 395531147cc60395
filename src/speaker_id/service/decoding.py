"""Foreign bytes are decoded in a process of its own, with memory and time that are used up before the service is."""

import atexit
import io
import json
import logging
import multiprocessing
import os
import queue
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from speaker_id import audio
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, NoSpeech, TooShort
from speaker_id.inference.quality import Quality, QualityLimits, check_recording

START_SECONDS = 120.0  # a busy machine may take long to start Python
_ERRORS = {kind.__name__: kind for kind in (AudioError, TooShort, NoSpeech)}
_CONTEXT = multiprocessing.get_context("spawn")  # a fork of a server with threads may hang
_NAME = "<bytes>"  # what audio calls them

logger = logging.getLogger(__name__)


class Limits(NamedTuple):
    seconds: float  # that decoding may take
    megabytes: int  # of memory, on top of what Python and its libraries have; on Linux
    max_recording_seconds: float
    quality: QualityLimits = QualityLimits()


class Decoded(NamedTuple):
    waveform: FloatArray  # (S,) at the service's rate
    quality: Quality


class Decoders:
    """A few processes that decode; `decode` may be called from as many threads as there are."""

    def __init__(self, num: int, sample_rate: int, limits: Limits) -> None:
        self._idle: queue.Queue[_Decoder] = queue.Queue()
        self._all = [_Decoder(sample_rate, limits) for _ in range(num)]
        atexit.register(self.close)  # before multiprocessing waits for them: they do not heed SIGTERM
        for decoder in self._all:
            self._idle.put(decoder)

    def decode(self, content: bytes, name: str = "the recording") -> Decoded:
        """The bytes of a file -> sound that can be used. Raises AudioError, which calls it `name`."""
        with self._borrowed() as decoder:
            return decoder.decode(content, name)

    def wait_ready(self) -> None:
        """Until all have started. Raises OSError when one does not."""
        for decoder in self._all:
            decoder.wait_ready()

    def close(self) -> None:
        atexit.unregister(self.close)
        for decoder in self._all:
            decoder.stop()

    @contextmanager
    def _borrowed(self) -> "Iterator[_Decoder]":
        decoder = self._idle.get()
        try:
            yield decoder
        finally:
            self._idle.put(decoder)


class _Decoder:
    """One process, started anew whenever it had to be stopped."""

    def __init__(self, sample_rate: int, limits: Limits) -> None:
        self._arguments = (sample_rate, limits)
        self._limits = limits
        self._starting = True
        self._start()

    def decode(self, content: bytes, name: str) -> Decoded:
        if not self._process.is_alive():  # whatever ended it, this recording did not
            self._restart("was found dead")
        try:
            self.wait_ready()
            self._pipe.send_bytes(content)
            if not self._pipe.poll(self._limits.seconds):
                self._restart("took too long")
                raise AudioError(f"{name} was not decoded within {self._limits.seconds:g} s; send another")
            answer = json.loads(self._pipe.recv_bytes())
            samples = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            self._restart("died")
            raise AudioError(f"{name} made its decoder fail; send another, as wav or flac if you can") from error
        if "error" in answer:
            raise _ERRORS[answer["error"]](answer["message"].replace(_NAME, name))
        quality = Quality(**{**answer, "remarks": tuple(answer["remarks"])})
        return Decoded(np.frombuffer(samples, np.float32).copy(), quality)

    def wait_ready(self) -> None:
        """Wait once for the process to say that it has started: that counts for nobody's limit."""
        if self._starting:
            if not self._pipe.poll(START_SECONDS):
                raise OSError(f"a decoder did not start within {START_SECONDS:g} s")
            self._pipe.recv_bytes(1)
            self._starting = False

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _start(self) -> None:
        self._pipe, other = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        self._starting = True

    def _restart(self, why: str) -> None:
        logger.warning("a decoder %s and is started anew", why)
        self.stop()
        self._start()


def _work(pipe: Connection, sample_rate: int, limits: Limits) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a whole group may get them: they are the service's to answer
        signal.signal(number, signal.SIG_IGN)
    _silence_c()
    _rehearse(sample_rate, limits)
    _limit_process(limits.megabytes)
    pipe.send_bytes(b"r")
    with suppress(EOFError, OSError):  # the service is gone
        while True:
            answer, waveform = _answer(pipe.recv_bytes(), sample_rate, limits)
            pipe.send_bytes(json.dumps(answer).encode())
            pipe.send_bytes(waveform.tobytes())


def _silence_c() -> None:
    """Libraries in C print what they meet in damaged files: not into a log of JSON lines. Python may still speak."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _answer(content: bytes, sample_rate: int, limits: Limits) -> tuple[dict[str, Any], FloatArray]:
    """Quality and samples, or an error and none: nothing that would have to be unpickled."""
    nothing = np.empty(0, np.float32)
    try:
        found = decoded(content, sample_rate, limits)
    except AudioError as error:
        kind = type(error).__name__ if type(error).__name__ in _ERRORS else "AudioError"
        return {"error": kind, "message": str(error)}, nothing
    except MemoryError:
        message = f"{_NAME} needs too much memory to be decoded; send a shorter one"
        return {"error": "AudioError", "message": message}, nothing
    return asdict(found.quality), found.waveform


def decoded(content: bytes, sample_rate: int, limits: Limits) -> Decoded:
    """Decode in this process, within the limits of length and quality. Raises AudioError."""
    header = audio.info(content)
    seconds = header.num_samples / max(1, header.sample_rate)
    if seconds > limits.max_recording_seconds:
        most = f"at most {limits.max_recording_seconds:g} s are taken; send less of it"
        raise AudioError(f"{_NAME} is {seconds:.1f} s long, {most}")
    waveform = audio.load(content, sample_rate)
    return Decoded(waveform, check_recording(waveform, sample_rate, name=_NAME, limits=limits.quality))


def _rehearse(sample_rate: int, limits: Limits) -> None:
    """Import whatever decoding imports late: behind the limits no file is opened any more, not even a library."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, sample_rate)
    wav = io.BytesIO()
    soundfile.write(wav, noise, sample_rate + 1, format="WAV")  # it must be resampled
    amr = b"#!AMR\n" + 50 * (b"\x3c" + bytes(31))
    for content in (wav.getvalue(), amr, b"no sound"):
        _answer(content, sample_rate, limits)


def _limit_process(megabytes: int) -> None:
    """No more memory than stated, no file or connection opened, none written, no core dumped: it would hold a voice."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere nothing says what is mapped already, by libraries for the most part
        mapped = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        most = mapped + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # last: the line above opens one; what is open stays open
