"""Mutated recordings and hostile words, by the thousand, through the library and a running service.

    python benchmarks/fuzz.py [--files 10000] [--seed 0] [--seconds-limit S] [--failures fuzz-failures]
    python benchmarks/fuzz.py --seed 0 --only 4711        # one of them again

Asserted: our own errors and nothing else (4xx in our shape from the service, never 5xx), no crash, no more than 5 s of
processor time and 512 MB for one file, and nothing written: galleries, temporary folder and log are as they were.
Each file goes through both; of hostile requests there are half as many, of hostile streams one in fifty. The files
come from tests/hostile: number and seed name one for good. What fails is saved, and ends the command with 1.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # after this folder: it has a `service`, too

from fuzz_library import work
from fuzz_service import Asking, contents, left_behind
from serving import served

from hostile.mutations import mutated
from hostile.requests import CHANGEABLE, Request, enrolment
from hostile.sounds import flac
from hostile.watched import Outcome, Watched

SERVICE_MB = 1024  # of each of its processes, on the very small model
CLIENTS = 4


class Findings:
    """Counts outcomes, saves failures."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed = seed
        self._folder = folder
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.worst_cpu = self.worst_mb = (0.0, 0)  # and whose number it was

    def add(self, part: str, number: int, content: bytes, extension: str, outcome: Outcome) -> None:
        with self._lock:
            self.counts[f"{part} {outcome.kind}"] += 1
            self.worst_cpu = max(self.worst_cpu, (outcome.cpu_seconds, number))
            self.worst_mb = max(self.worst_mb, (outcome.grown_mb, number))
            if outcome.kind == "failed":
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{part}-{self._seed}-{number}.{extension}"
                path.write_bytes(content)
                self.fail(f"{path.name}: {outcome.detail}")

    def fail(self, what: str) -> None:
        self.failures.append(what)
        print(f"  FAILED {what}", flush=True)


def library(seed: int, numbers: Iterator[int], num_workers: int, findings: Findings) -> None:
    lock = threading.Lock()

    def try_on(folder: Path) -> None:
        watched = Watched(work, seed, folder)
        try:
            while (number := _next(numbers, lock)) is not None:
                outcome, one = watched.outcome(number), mutated(seed, number)
                findings.add("library", number, one.content, one.extension, outcome)
        finally:
            watched.close()

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(num_workers) as pool:
        for done in [pool.submit(try_on, Path(folder)) for _ in range(num_workers)]:
            done.result()


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def service(seed: int, numbers: Iterable[int], findings: Findings) -> None:
    from inference.tiny_model import tiny_bundle
    from speaker_id.contracts import OperatingPoint

    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        folder, scratch = root / "service", root / "temporary"
        folder.mkdir()
        scratch.mkdir()
        point = OperatingPoint(0.98, "chosen for the campaign", llr_scale=10.0, llr_offset=-5.0)
        model = tiny_bundle(root / "bundle", operating_point=point)
        with served(folder, str(model), "--allow-embed", environment={"TMPDIR": str(scratch)}) as running:
            asking = Asking(running, seed)
            for user, pitch in ((b"Ada", 110.0), (b"Bob", 230.0), (CHANGEABLE, 170.0)):
                assert asking.answer(enrolment(user, [flac(pitch=pitch)])).status == 200
            before = contents(folder / "gallery.db")
            _ask_all(asking, numbers, findings)
            for what in left_behind(running, scratch, SERVICE_MB, before):
                findings.fail(f"service: {what}")


def _ask_all(asking: Asking, numbers: Iterable[int], findings: Findings) -> None:
    def asked(part: str, case: Callable[[int], tuple[Request, Outcome]], number: int) -> None:
        request, outcome = case(number)
        findings.add(part, number, request.on_the_wire(), "http", outcome)

    def all_of(number: int) -> None:
        asked("service", asking.recording, number)
        if number % 2 == 0:
            asked("words", asking.words, number)
        if number % 50 == 0:
            findings.add("stream", number, b"", "txt", asking.stream(number))

    _in_threads(CLIENTS, all_of, numbers)


def _in_threads(num: int, call: Callable[[int], None], numbers: Iterable[int]) -> None:
    """Each thread takes the next number when it is done with one: none is drawn before its time."""
    lock, drawn = threading.Lock(), iter(numbers)

    def work() -> None:
        while (number := _next(drawn, lock)) is not None:
            call(number)

    with ThreadPoolExecutor(num) as pool:
        for done in [pool.submit(work) for _ in range(num)]:
            done.result()


def until(numbers: Iterable[int], deadline: float, every: int, what: str) -> Iterator[int]:
    """The numbers while there is time, and a word now and then."""
    begun = time.monotonic()
    for done, number in enumerate(numbers):
        if time.monotonic() > deadline:
            print(f"  {what}: the time is over after {done}", flush=True)
            return
        if done and done % every == 0:
            print(f"  {what}: {done} in {time.monotonic() - begun:.0f} s", flush=True)
        yield number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument(
        "--seconds-limit", type=float, default=float("inf"), help="for the library, and for the service"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--part", choices=("library", "service"), help="this one alone")
    options = parser.parse_args()
    numbers = range(options.files) if options.only is None else [options.only]
    findings = Findings(options.seed, options.failures)
    begun = time.monotonic()
    if options.part != "service":
        given = until(numbers, time.monotonic() + options.seconds_limit, 1000, "library")
        library(options.seed, given, min(options.workers, len(numbers)), findings)
    if options.part != "library":
        given = until(numbers, time.monotonic() + options.seconds_limit, 1000, "service")
        service(options.seed, given, findings)
    print(f"\nseed {options.seed}, {len(numbers)} files, {time.monotonic() - begun:.0f} s")
    for what, count in sorted(findings.counts.items()):
        print(f"  {what:18} {count}")
    (seconds, slow), (megabytes, large) = findings.worst_cpu, findings.worst_mb
    print(
        f"  most for one file: {seconds:.2f} s of processor time (number {slow}), {megabytes:.0f} MB (number {large})"
    )
    print(f"{len(findings.failures)} failures" + (f", saved in {options.failures}" if findings.failures else ""))
    raise SystemExit(1 if findings.failures else 0)


if __name__ == "__main__":
    main()
