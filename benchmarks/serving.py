"""A service as operators run it, for the measurements: a process of its own with keys and decoders; what it takes.

Whoever imports this has `tests` on the path.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from hostile.watched import cpu_seconds
from speaker_id.service.keys import new_key

START_SECONDS = 300
STOP_SECONDS = 60


class Served(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    token: str
    folder: Path  # gallery.db, keys.json, log

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to end, as systemd does, and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def served(folder: Path, model: str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Ready to answer; stopped at the end if it still runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = new_key(folder / "keys.json", "load", "admin")
    given = {
        "--model": model, "--gallery": folder / "gallery.db", "--keys": folder / "keys.json", "--port": port,
        "--requests-per-minute": 10**9,
    }  # fmt: skip
    command = [sys.executable, "-m", "speaker_id", "serve", *[str(word) for pair in given.items() for word in pair]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stderr=log, env={**os.environ, **(environment or {})})
    service = Served(process, port, token, folder)
    try:
        _wait_for(service)
        yield service
    finally:
        service.stop()


def _wait_for(service: Served) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{service.url}/health").status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(service.log)


class Usage(NamedTuple):
    """Of one process, from /proc."""

    name: str  # of its command's last words: what it is for
    resident_mb: float
    peak_mb: float
    num_files: int


def usage(pid: int) -> dict[int, Usage]:
    """Of a process and all its descendants that still live."""
    found = {}
    for member in _family(pid):
        with contextlib.suppress(OSError):
            found[member] = _usage(member)
    return found


def family_cpu_seconds(pid: int) -> float:
    """That a process and all its descendants have used so far."""
    return sum(cpu_seconds(member) for member in _family(pid))


def _family(pid: int) -> set[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family


def _usage(pid: int) -> Usage:
    folder = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
    resident, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    name = "service" if "serve" in words else "decoder" if any("spawn_main" in word for word in words) else "helper"
    return Usage(name, resident, peak, len(list((folder / "fd").iterdir())))
