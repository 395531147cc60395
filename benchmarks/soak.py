"""Half an hour of everything at once against a running service, which is then told to stop in the middle of it.

    python benchmarks/soak.py [--minutes 30] [--clients 8] [--model dvector-ge2e] [--workers 1] [--seed 0]

Clients identify, compare, enrol, remove, stream and list, each as soon as it is answered; one request in ten is hostile
(tests/hostile). Asserted: no 5xx, no refusal of an honest request, every list holds what this client has had
acknowledged, and after SIGTERM so does the gallery: who was enrolled is there with all recordings, who was removed is
not. And, from ten minutes on: over the second half of the time no process grows by more than 1 MB a minute (Theil and
Sen's slope over its resident set every 2 s), and none has 8 open files more at the end than in the middle.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
from scipy.stats import theilslopes
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # after this folder: it has a `service`, too

from serving import Served, Usage, served, usage

from hostile.mutations import mutated
from hostile.requests import Request, hostile_request
from hostile.sounds import flac, tone
from speaker_id.inference.galleries import open_gallery

KINDS = {"identify": 45, "compare": 15, "enrol": 14, "remove": 8, "list": 3, "stream": 5, "hostile": 10}
MAX_HELD = 12  # users of one client: the gallery's growth is not to be mistaken for a leak
SAMPLE_SECONDS = 2.0
JUDGED_FROM_MINUTES = 10.0
MAX_MB_A_MINUTE = 1.0
MAX_MORE_FILES = 8
RATE = 16_000


class Notes:
    """What the clients saw."""

    def __init__(self) -> None:
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []
        self.stopping = False

    def fail(self, what: str) -> None:
        self.failures.append(what[:500])
        print(f"  FAILED {self.failures[-1]}", flush=True)


class Client:
    """One of several, with users of its own: `held` are acknowledged, `open` may be or not be."""

    def __init__(self, number: int, seed: int, service: Served, notes: Notes, voices: list[bytes]) -> None:
        self._name = f"soak-{number}"
        self._rng = random.Random(f"{seed} {number}")
        self._service = service
        self._notes = notes
        self._voices = voices
        self._count = 0
        self.held: dict[str, int] = {}
        self.open: dict[str, set[int]] = {}  # user -> how many recordings there may be

    async def run(self) -> None:
        """Until the service is gone."""
        async with httpx.AsyncClient(base_url=self._service.url, headers=self._service.headers, timeout=120) as http:
            while True:
                kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
                begun = time.perf_counter()
                try:
                    await getattr(self, f"_{kind}")(http)
                except (httpx.TransportError, WebSocketException, OSError, EOFError) as error:
                    if self._notes.stopping:
                        return
                    self._notes.fail(f"{kind}: {error!r}")
                self._notes.latencies[kind].append(time.perf_counter() - begun)

    async def _identify(self, http: httpx.AsyncClient) -> None:
        self._said("identify", await http.post("/identify", files={"recording": self._voice()}))

    async def _compare(self, http: httpx.AsyncClient) -> None:
        self._said("compare", await http.post("/compare", files={"a": self._voice(), "b": self._voice()}))

    async def _enrol(self, http: httpx.AsyncClient) -> None:
        if len(self.held) >= MAX_HELD:
            return await self._remove(http)
        again = self.held and self._rng.random() < 0.3
        user = self._rng.choice(sorted(self.held)) if again else f"{self._name}-{self._count}"
        self._count += 1
        num, before = self._rng.choice((1, 2)), self.held.get(user, 0)
        self.open[user] = {before, before + num}
        files = [("recordings", self._voice()) for _ in range(num)]
        answer = await http.put(f"/users/{user}/recordings", files=files)
        if said := self._said("enrol", answer):
            self._acknowledged(user, said["num_recordings"])
        return None

    async def _remove(self, http: httpx.AsyncClient) -> None:
        if not self.held:
            return
        user = self._rng.choice(sorted(self.held))
        self.open[user] = {0, self.held[user]}
        if self._said("remove", await http.delete(f"/users/{user}")):
            self._acknowledged(user, 0)

    async def _list(self, http: httpx.AsyncClient) -> None:
        if said := self._said("list", await http.get("/users")):
            listed = {one["user"]: one["num_recordings"] for one in said["users"]}
            mine = {user: num for user, num in listed.items() if user.startswith(f"{self._name}-")}
            if said["total"] <= 1000 and mine != self.held:
                self._notes.fail(f"{self._name} has {self.held}, the list says {mine}")

    async def _stream(self, _: httpx.AsyncClient) -> None:
        sound = (tone(RATE, seconds=2.0, pitch=self._rng.uniform(90, 250)) * 32767).astype("<i2").tobytes()
        address = f"ws://127.0.0.1:{self._service.port}/stream"
        async with connect(address, additional_headers=self._service.headers) as socket:
            for start in range(0, len(sound), 16_000):
                await socket.send(sound[start : start + 16_000])
            await socket.send("end")
            async for message in socket:
                said = json.loads(message)
                if "error" in said:
                    self._notes.fail(f"stream: {said}")

    async def _hostile(self, _: httpx.AsyncClient) -> None:
        """Whatever it is, it is no failure of the service; what it enrols is taken back."""
        request = hostile_request(self._rng, self._some_recording)
        status, body = await self._exchange(request.on_the_wire(*self._own_headers()))
        if status >= 500:
            self._notes.fail(f"hostile {request.method!r} {request.target[:80]!r}: {status} {body[:200]!r}")
        if request.method == b"PUT" and status == 200:
            user = request.target.split(b"?")[0].removesuffix(b"/recordings")
            await self._exchange(Request(b"DELETE", user, (), b"").on_the_wire(*self._own_headers()))

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._service.port)
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionResetError):  # refused before it was all sent
                await writer.drain()
                answer = await reader.read()
                return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]
            return 400, b""
        finally:
            writer.close()

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"Host", b"localhost"),
            (b"Connection", b"close"),
            (b"Authorization", f"Bearer {self._service.token}".encode()),
        ]

    def _some_recording(self, rng: random.Random) -> bytes:
        return self._voice() if rng.random() < 0.5 else mutated(0, rng.randrange(10**6)).content

    def _voice(self) -> bytes:
        return self._rng.choice(self._voices)

    def _said(self, what: str, answer: httpx.Response) -> dict[str, object] | None:
        if answer.status_code == 200:
            said: dict[str, object] = answer.json()
            return said
        self._notes.fail(f"{what}: {answer.status_code} {answer.text[:200]}")
        return None

    def _acknowledged(self, user: str, num: object) -> None:
        assert isinstance(num, int)
        if num not in self.open.pop(user):
            self._notes.fail(f"{user} was {self.held.get(user, 0)}, and is said to be {num}")
        self.held[user] = num
        if num == 0:
            del self.held[user]


class Sample(NamedTuple):
    minutes: float
    processes: dict[int, Usage]


async def watched(service: Served, minutes: float) -> list[Sample]:
    """Looks at the processes until the time is over."""
    begun, samples = time.monotonic(), []
    while (passed := (time.monotonic() - begun) / 60) < minutes and service.process.poll() is None:
        samples.append(Sample(passed, usage(service.process.pid)))
        await asyncio.sleep(SAMPLE_SECONDS)
    return samples


async def soak(service: Served, clients: list[Client], notes: Notes, minutes: float) -> list[Sample]:
    """All clients at once; SIGTERM while they go on."""
    running = [asyncio.create_task(client.run()) for client in clients]
    samples = await watched(service, minutes)
    notes.stopping = True
    code = await asyncio.to_thread(service.stop)
    if code not in (0, -15):
        notes.fail(f"the service ended with {code}: {service.log[-2000:]}")
    await asyncio.gather(*running)
    return samples


def check_gallery(folder: Path, clients: list[Client], notes: Notes) -> int:
    """What was acknowledged is there, and nothing else but what hostile requests were in the middle of."""
    with open_gallery(folder / "gallery.db") as gallery:
        kept = gallery.users()
    expected = {user: {num} for client in clients for user, num in client.held.items()}
    expected |= {user: nums for client in clients for user, nums in client.open.items()}
    for user in expected.keys() | {user for user in kept if user.startswith("soak-")}:
        if kept.get(user, 0) not in expected.get(user, {0}):
            notes.fail(f"{user} has {kept.get(user, 0)} recordings after the end, not {expected.get(user, 0)}")
    return len(kept)


def check_growth(samples: list[Sample], minutes: float, notes: Notes) -> None:
    """Prints every process's memory and files, and judges their second half."""
    late = [sample for sample in samples if sample.minutes >= minutes / 2] or samples
    print("\n| process | MB in the middle | MB at the end | MB a minute | files in the middle | at the end |")
    print("|:--|--:|--:|--:|--:|--:|")
    for pid, one in late[-1].processes.items():
        seen = [(sample.minutes, sample.processes[pid]) for sample in late if pid in sample.processes]
        tenth = max(1, len(seen) // 10)
        slope = (
            float(theilslopes([use.resident_mb for _, use in seen], [at for at, _ in seen])[0])
            if len(seen) > 2
            else 0.0
        )
        middle, end = seen[:tenth], seen[-tenth:]
        mb = [np.median([use.resident_mb for _, use in part]) for part in (middle, end)]
        files = [np.median([use.num_files for _, use in part]) for part in (middle, end)]
        print(f"| {one.name} | {mb[0]:.0f} | {mb[1]:.0f} | {slope:+.2f} | {files[0]:.0f} | {files[1]:.0f} |")
        if minutes >= JUDGED_FROM_MINUTES and (slope > MAX_MB_A_MINUTE or files[1] - files[0] > MAX_MORE_FILES):
            notes.fail(f"a {one.name} grows: {slope:+.2f} MB a minute, {files[1] - files[0]:+.0f} files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--model", default="dvector-ge2e")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    notes, voices = Notes(), [flac(seconds=2.0, pitch=pitch) for pitch in np.linspace(90, 250, 12)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with served(folder, options.model, "--workers", str(options.workers)) as service:
            clients = [Client(number, options.seed, service, notes, voices) for number in range(options.clients)]
            samples = asyncio.run(soak(service, clients, notes, options.minutes))
        num_users = check_gallery(folder, clients, notes)
    total = sum(map(len, notes.latencies.values()))
    print(f"{options.model}, {options.clients} clients, {options.minutes:g} minutes, {total} requests\n")
    print("| request | number | p50 ms | p99 ms |\n|:--|--:|--:|--:|")
    for kind, seconds in sorted(notes.latencies.items()):
        p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
        print(f"| {kind} | {len(seconds)} | {p50:.0f} | {p99:.0f} |")
    check_growth(samples, options.minutes, notes)
    in_the_middle = sum(len(client.open) for client in clients)
    print(f"\n{num_users} users kept, {in_the_middle} calls in the middle at SIGTERM; {len(notes.failures)} failures")
    raise SystemExit(1 if notes.failures else 0)


if __name__ == "__main__":
    main()
