"""The service under load on loopback, beside its model alone: what answering over HTTP costs.

    python benchmarks/service.py [--model dvector-ge2e] [--seconds 20] [--workers 1] [--recording a.wav]

1, 8 and 32 clients ask again as soon as they are answered: of ten requests eight identify, one compares, one enrols.
Latency counts from the first byte sent to the last received. Every enrolment that was acknowledged is looked for at
the end. The model alone embeds the same recording in this process, one after the other, in one thread. Of both the
processor's seconds for one recording are given (the service's with its decoders, from /proc): unlike requests a second
their ratio does not depend on what else the machine does. For memory over half an hour: benchmarks/soak.py.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # after this folder: it has a `service`, too

from serving import Served, family_cpu_seconds, served

from hostile.sounds import flac
from speaker_id import audio, checkpoint
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.galleries import open_gallery
from speaker_id.pretrained.catalogue import model_path

CLIENTS = (1, 8, 32)


class Load(NamedTuple):
    seconds: float
    latencies: list[float]
    statuses: Counter[str]
    enrolled: list[str]
    num_recordings: list[int]  # of each request


async def load(service: Served, recording: bytes, *, clients: int, seconds: float, name: str) -> Load:
    result = Load(seconds, [], Counter(), [], [])
    end = time.perf_counter() + seconds

    async def ask_on(who: int) -> None:
        async with httpx.AsyncClient(base_url=service.url, headers=service.headers, timeout=60) as own:
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
    result.num_recordings.append(2 if kind == 1 else 1)
    if kind == 0 and answer.status_code == 200:
        result.enrolled.append(name)


def measured(service: Served, recording: bytes, clients: int, seconds: float, alone: float) -> Load:
    """A line of the table."""
    before = family_cpu_seconds(service.process.pid)
    found = asyncio.run(load(service, recording, clients=clients, seconds=seconds, name=f"of-{clients}"))
    each = (family_cpu_seconds(service.process.pid) - before) / max(1, sum(found.num_recordings))
    p50, p99 = np.quantile(found.latencies, [0.5, 0.99]) * 1000
    rate, answers = len(found.latencies) / found.seconds, dict(found.statuses)
    figures = f"{rate:.1f} | {p50:.0f} | {p99:.0f} | {answers} | {1000 * each:.0f} | {each / alone:.2f}"
    print(f"| {clients} | {figures} |", flush=True)
    return found


def model_alone(model: str, recording: bytes, seconds: float) -> float:
    """The processor's seconds to embed one recording that is decoded already."""
    torch.set_num_threads(1)
    embedder = ModelEmbedder(checkpoint.load(model_path(model)))
    waveform = audio.load(recording, embedder.sample_rate)
    embedder([waveform])  # whatever is made once
    begun, cpu, num = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < seconds:
        embedder([waveform])
        num += 1
    return (time.process_time() - cpu) / num


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="dvector-ge2e")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--recording", type=Path)
    options = parser.parse_args()
    recording = flac(seconds=3.0) if options.recording is None else options.recording.read_bytes()
    alone = model_alone(options.model, recording, options.seconds / 4)
    print(f"{options.model}, {options.workers} worker(s), recording of {len(recording)} bytes; the model alone takes ")
    print(f"{1000 * alone:.0f} ms of the processor for it\n")
    print("| clients | requests/s | p50 ms | p99 ms | answers | processor ms a recording | x the model alone |")
    print("|--:|--:|--:|--:|:--|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with served(folder, options.model, "--workers", str(options.workers)) as service:
            loads = [measured(service, recording, clients, options.seconds, alone) for clients in CLIENTS]
        with open_gallery(folder / "gallery.db") as gallery:
            kept = gallery.users()
        acknowledged = [name for found in loads for name in found.enrolled]
        print(f"\n{len(acknowledged)} enrolments acknowledged, {len(set(acknowledged) - set(kept))} lost")


if __name__ == "__main__":
    main()
