"""The service under load on loopback, as operators run it: a process of its own, keys, decoder processes.

    .venv/bin/python benchmarks/service.py                  # 1, 8 and 32 clients, 20 s each
    .venv/bin/python benchmarks/service.py --minutes 30     # 8 clients: is the memory flat?
                     [--model dvector-ge2e] [--seconds 20] [--workers 1] [--recording a.wav]

Clients ask again as soon as they are answered: of ten requests eight identify, one compares, one enrols. Latency
counts from the first byte sent to the last received. Every enrolment that was acknowledged is looked for at the end.
Memory is the resident set of the service with its decoders, from /proc.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import soundfile

from speaker_id.inference.gallery import SqliteGallery
from speaker_id.service.keys import new_key

RATE = 16_000
CLIENTS = (1, 8, 32)
START_SECONDS = 300
SAMPLE_SECONDS = 5.0  # between two looks at the memory


class Load(NamedTuple):
    seconds: float
    latencies: list[float]
    statuses: Counter[str]
    enrolled: list[str]


def voice(seconds: float = 3.0) -> bytes:
    """A moving harmonic tone in syllables, as flac: for speed any sound will do."""
    moment = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * 140 * (moment + 0.02 * np.sin(2 * np.pi * 3 * moment))
    tone = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * moment))
    file = io.BytesIO()
    soundfile.write(file, 0.2 * tone, RATE, format="FLAC")
    return file.getvalue()


@contextlib.contextmanager
def served(folder: Path, model: str, workers: int) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    headers = {"Authorization": f"Bearer {new_key(folder / 'keys.json', 'load', 'admin')}"}
    given = {
        "--model": model, "--gallery": folder / "gallery.db", "--keys": folder / "keys.json", "--port": port,
        "--workers": workers, "--requests-per-minute": 10**9,
    }  # fmt: skip
    command = [sys.executable, "-m", "speaker_id", "serve", *[str(word) for pair in given.items() for word in pair]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            _wait_for(client, process, folder / "log")
            yield process, client
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(log.read_text())


async def load(client: httpx.Client, recording: bytes, *, clients: int, seconds: float, name: str) -> Load:
    result = Load(seconds, [], Counter(), [])
    end = time.perf_counter() + seconds

    async def ask_on(who: int) -> None:
        async with httpx.AsyncClient(base_url=client.base_url, headers=client.headers, timeout=60) as own:
            for number in itertools.count(who):
                if time.perf_counter() >= end:
                    return
                await _ask(own, recording, number % 10, f"{name}-{who}-{number}", result)

    await asyncio.gather(*map(ask_on, range(clients)))
    return result


async def _ask(client: httpx.AsyncClient, recording: bytes, kind: int, name: str, result: Load) -> None:
    start = time.perf_counter()
    try:
        if kind == 0:
            answer = await client.put(f"/users/{name}/recordings", files={"recordings": recording})
        elif kind == 1:
            answer = await client.post("/compare", files={"a": recording, "b": recording})
        else:
            answer = await client.post("/identify", files={"recording": recording})
    except httpx.TransportError as error:
        result.statuses[type(error).__name__] += 1
        return
    result.latencies.append(time.perf_counter() - start)
    result.statuses[str(answer.status_code)] += 1
    if kind == 0 and answer.status_code == 200:
        result.enrolled.append(name)


def memory_mb(pid: int) -> float:
    """Of a process and all its descendants."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                resident[int(folder.name)] = int((folder / "statm").read_text().split()[1])
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(resident.get(member, 0) for member in family) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def watched(work: asyncio.Task[Load], pid: int) -> list[float]:
    seen = []
    while not work.done():
        seen.append(memory_mb(pid))
        await asyncio.wait([work], timeout=SAMPLE_SECONDS)
    return seen


async def measured(client: httpx.Client, pid: int, recording: bytes, clients: int, seconds: float) -> Load:
    work = asyncio.create_task(load(client, recording, clients=clients, seconds=seconds, name=f"of-{clients}"))
    memory = await watched(work, pid)
    found = await work
    p50, p99 = np.quantile(found.latencies, [0.5, 0.99]) * 1000
    rate = len(found.latencies) / found.seconds
    tenth = max(1, len(memory) // 10)
    begin, finish = np.mean(memory[tenth : 2 * tenth] or memory), np.mean(memory[-tenth:])
    print(
        f"| {clients} | {rate:.1f} | {p50:.0f} | {p99:.0f} | {dict(found.statuses)} | {begin:.0f} | {finish:.0f} |",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dvector-ge2e")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--recording", type=Path)
    options = parser.parse_args()
    recording = voice() if options.recording is None else options.recording.read_bytes()
    plan = [(clients, options.seconds) for clients in CLIENTS]
    if options.minutes is not None:
        plan = [(8, 60 * options.minutes)]
    print(f"{options.model}, {options.workers} worker(s), recording of {len(recording)} bytes\n")
    print("| clients | requests/s | p50 ms | p99 ms | answers | MB early | MB late |\n|--:|--:|--:|--:|:--|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with served(folder, options.model, options.workers) as (process, client):
            loads = [asyncio.run(measured(client, process.pid, recording, *step)) for step in plan]
        with SqliteGallery.open(folder / "gallery.db") as gallery:
            kept = gallery.users()
        acknowledged = [name for found in loads for name in found.enrolled]
        print(f"\n{len(acknowledged)} enrolments acknowledged, {len(set(acknowledged) - set(kept))} lost")


if __name__ == "__main__":
    main()
