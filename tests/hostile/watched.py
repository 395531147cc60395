"""Cases that may crash or hang, tried in a process that is watched: whichever ends it is named."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

START_SECONDS = 300.0
_CONTEXT = multiprocessing.get_context("spawn")


class Outcome(NamedTuple):
    kind: str  # sound, refused, failed
    detail: str = ""
    cpu_seconds: float = 0.0
    grown_mb: float = 0.0


class Watched:
    """One process that runs `work(pipe, *arguments)`, and is started anew when a case ends it.

    `work` says "ready" once, and then answers each number that comes with an Outcome. A case may take `cpu_limit`
    seconds of the processor and `wall_limit` of the clock, which on a busy machine has to be many.
    """

    def __init__(
        self, work: Callable[..., None], *arguments: object, cpu_limit: float = 5.0, wall_limit: float = 120.0
    ) -> None:
        self._work, self._arguments = work, arguments
        self._cpu_limit, self._wall_limit = cpu_limit, wall_limit
        self._start()

    def outcome(self, number: int) -> Outcome:
        self._pipe.send(number)
        cpu, begun = cpu_seconds(self._pid), time.monotonic()
        try:
            while not self._pipe.poll(0.25):
                used, waited = cpu_seconds(self._pid) - cpu, time.monotonic() - begun
                if used > self._cpu_limit or waited > self._wall_limit:
                    self._start_anew()
                    return Outcome("failed", f"hangs: {used:.0f} s of processor time in {waited:.0f} s", used)
            found: Outcome = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._start_anew()
            return Outcome("failed", f"ended the process: {signal.Signals(-code).name if code and code < 0 else code}")
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        self._pipe, other = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=self._work, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        assert self._process.pid is not None
        self._pid = self._process.pid
        assert self._pipe.poll(START_SECONDS), "a worker does not start"
        self._pipe.recv()

    def _start_anew(self) -> None:
        self.close()
        self._start()


def cpu_seconds(pid: int) -> float:
    """That a process has used so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
