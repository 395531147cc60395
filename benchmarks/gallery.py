"""A gallery of many users: query, enrolment, opening and memory; the query beside mvector's, taking turns.

    make peers
    .venv-peers/bin/python benchmarks/gallery.py                        # 1,000, 10,000 and 100,000 users
    .venv-peers/bin/python benchmarks/gallery.py --sizes 1000000        # needs 4 GB of memory, 2 GB in --folder
    .venv/bin/python benchmarks/gallery.py --encrypted                  # without mvector installed: ours alone

One recording of 192 numbers a user, p50 of what one call takes. mvector's query is its predictor's own retrieval over
the same vectors; it finds the best user alone, ours the five best, and both have to name the same one. Ours asks the
file at each query whether another process changed it. "mvector enrol" is what its `register` does once the embedding
is there: stack, and write the index anew. "first" is opening with the first search, which reads everybody;
enrolment waits for the disk, and removal for the search of the pages that proves it.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
from contest import processor

from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.gallery_records import as_text, unit_rows, utc_now

THREADS = "1"  # the product of a query with a matrix is bound by memory: more threads gain little
DIM = 192
MOST_PICKLED = 100_000  # beyond, mvector's index takes gigabytes and minutes to write
MODEL = {"fingerprint": "benchmark", "dim": DIM}
KEY = bytes(range(32))


def rows_of(num: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def queries_of(rows: np.ndarray, num: int) -> np.ndarray:
    """Some of the users again, in another recording."""
    return unit_rows(rows[np.linspace(0, len(rows) - 1, num).astype(int)] + 0.5 * rows_of(num, seed=1), DIM)


def fill(path: Path, num: int, key: bytes | None) -> None:
    """What `enrol` would write, in one transaction: a million of them would wait for the disk a million times."""
    now = as_text(utc_now())
    with SqliteGallery.open(path, **MODEL, key=key) as gallery:
        store = gallery._store
        store.connection.execute("PRAGMA cache_size = -2000000")  # kB: the index of tags is written at random places
        with store.writing() as change:
            for i, row in enumerate(rows_of(num)):
                user_id = store.users.add(f"user {i:07}".encode(), now, change)
                store.users.add_vectors(user_id, [row.tobytes()], None, now)


def p50(call: Callable[[], object], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def alone(path: Path, num: int, key: bytes | None) -> dict[str, float]:
    """Opening, memory, enrolment and the many-query search, in a process that does nothing else."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    query = rows_of(1, seed=2)[0]
    start = time.perf_counter()
    with SqliteGallery.open(path, **MODEL, key=key) as gallery:
        opened = time.perf_counter() - start
        gallery.search(query)
        first = time.perf_counter() - start
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        many = rows_of(64, seed=3)
        each = p50(lambda: gallery.search_many(many), 5) / len(many)
        new, names, gone = iter(rows_of(100, seed=4)), map("new {}".format, count()), map("new {}".format, count())
        enrol = p50(lambda: gallery.enrol(next(names), next(new)[None]), 50)
        seen = p50(lambda: (gallery.enrol(next(names), next(new)[None]), gallery.search(query)), 15)
        remove = p50(lambda: gallery.remove(next(gone)), 5)
    return {
        "open": opened,
        "first": first,
        "peak MB": peak,
        "each of 64": each,
        "enrol": enrol,
        "enrol+query": seen,
        "remove": remove,
    }


def best_of_three(path: Path, num: int, key: bytes | None) -> dict[str, float]:
    query = rows_of(1, seed=2)[0]
    with SqliteGallery.open(path, **MODEL, key=key, best=3) as gallery:
        gallery.search(query)
        return {"best=3 query": p50(lambda: gallery.search(query), 30)}


def beside_mvector(path: Path, num: int, key: bytes | None) -> dict[str, float]:
    rows = rows_of(num)
    queries = queries_of(rows, 31)
    times: dict[str, list[float]] = {"query": [], "mvector query": []}
    retrieve, enrol = mvector_steps(path, rows) if importlib.util.find_spec("mvector") else (None, None)
    with SqliteGallery.open(path, **MODEL, key=key) as gallery:
        gallery.search(queries[0])
        for query in queries:
            start = time.perf_counter()
            found = gallery.search(query)
            times["query"].append(time.perf_counter() - start)
            if retrieve is None:
                continue
            start = time.perf_counter()
            [(user, score)] = retrieve(query[None])
            times["mvector query"].append(time.perf_counter() - start)
            assert user == found[0].user
            assert abs(score - found[0].score) < 1e-4
    result = {name: statistics.median(values) for name, values in times.items() if values}
    if enrol is not None and num <= MOST_PICKLED:
        result["mvector enrol"] = p50(enrol, 5)
    return result


def mvector_steps(path: Path, rows: np.ndarray) -> tuple[Callable[..., list], Callable[[], None]]:
    reader = ModuleType("yeaudio.audio")  # mvector's reader of sound: not needed here, and not among the peers
    reader.AudioSegment = object
    sys.modules.setdefault("yeaudio", ModuleType("yeaudio"))
    sys.modules.setdefault("yeaudio.audio", reader)
    from mvector.predict import MVectorPredictor

    predictor = object.__new__(MVectorPredictor)  # its constructor wants a model on disk; retrieval needs none
    predictor.threshold = -1.0
    predictor.audio_feature = predictor.audio_feature_mean = rows
    predictor.users_name = predictor.users_name_mean = [f"user {i:07}" for i in range(len(rows))]
    predictor.users_audio_path = [f"audio_db/{name}/0.wav" for name in predictor.users_name]
    predictor.audio_indexes_path = str(path.with_suffix(".mvector"))

    def enrol() -> None:
        predictor.audio_feature = np.vstack((rows, rows[:1]))
        predictor._MVectorPredictor__write_index()

    return predictor._MVectorPredictor__retrieval, enrol


PARTS = {"fill": fill, "alone": alone, "best": best_of_three, "beside": beside_mvector}


def run_part(part: str, path: Path, num: int, encrypted: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, "--path", str(path), "--sizes", str(num)]
    command += ["--encrypted"] * encrypted
    environment = {**os.environ, "OMP_NUM_THREADS": THREADS, "OPENBLAS_NUM_THREADS": THREADS}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{part} of {num} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1]) or {}
    return found


def print_row(num: int, found: dict[str, float]) -> None:
    peer, ours = found.get("mvector query"), found["query"]
    print(f"\n{num:,} users")
    for name, value in found.items():
        print(f"  {name:<14}" + (f"{value:10.0f}" if name == "peak MB" else f"{1000 * value:10.3f} ms"))
    if peer is not None:
        print(f"  {'query ratio':<14}{peer / ours:10.1f} x mvector")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where the galleries are made; a local disk")
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.path, given.sizes[0], KEY if given.encrypted else None)))
        return
    print(f"{processor()}, {os.cpu_count()} cores, {THREADS} thread")
    for num in given.sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            parts = [run_part(part, Path(folder) / "gallery.db", num, given.encrypted) for part in PARTS]
        print_row(num, {name: value for part in parts for name, value in part.items()})


if __name__ == "__main__":
    main()
