"""Time and memory of all-pairs scoring with exact EER and minDCF, beside the plain way, in one run.

    python benchmarks/scoring.py [--num 5332] [--dim 192]

5,332 recordings (14.2 million pairs) are this project's yardstick. The plain way is the full score matrix, its upper
triangle by index, one argsort over all trials and cumulative sums: what most evaluation scripts do.
"""

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from speaker_id.metrics import verification_metrics
from speaker_id.scoring import all_pairs, normalise

P_TARGET = 0.01
RECORDINGS_PER_SPEAKER = 40
NOISE = 1.7  # an EER of some per cent at 192 dimensions


def planted_speakers(num: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(num) // RECORDINGS_PER_SPEAKER
    centres = rng.normal(size=(labels[-1] + 1, dim))
    return normalise(centres[labels] + NOISE * rng.normal(size=(num, dim))), labels


def ours(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    metrics = verification_metrics(*all_pairs(embeddings, labels).trials())
    return metrics.eer, metrics.min_dcf


def plain(embeddings: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    rows, columns = np.triu_indices(len(embeddings), 1)
    scores = (embeddings @ embeddings.T)[rows, columns]
    is_target = (labels[:, None] == labels[None, :])[rows, columns]
    is_target = is_target[np.argsort(-scores)]
    fpr = np.cumsum(~is_target) / np.count_nonzero(~is_target)
    fnr = 1 - np.cumsum(is_target) / np.count_nonzero(is_target)
    nearest = np.argmin(np.abs(fnr - fpr))
    costs = P_TARGET * fnr + (1 - P_TARGET) * fpr
    return float(fnr[nearest] + fpr[nearest]) / 2, float(costs.min() / P_TARGET)


def measured(
    name: str, run: Callable[[np.ndarray, np.ndarray], tuple[float, float]], *data: np.ndarray, repeats: int
) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        eer, cost = run(*data)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux
    print(f"{name:<12}{min(seconds):8.2f} s{peak:8.2f} GiB peak    EER {eer:.4%}   minDCF {cost:.4f}")
    return min(seconds)


def machine() -> str:
    models = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    cpu = models[0] if models else platform.processor()
    return (
        f"{cpu}, {os.cpu_count()} cores, {threads} threads, numpy {np.__version__}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=5332, help="recordings")
    parser.add_argument("--dim", type=int, default=192, help="embedding size")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest run counts")
    options = parser.parse_args()
    data = planted_speakers(options.num, options.dim)
    print(f"{options.num} recordings, {options.num * (options.num - 1) // 2:,} pairs, {options.dim} dimensions")
    print(machine())
    # Peak memory never falls again, so the smaller way goes first.
    fast = measured("speaker_id", ours, *data, repeats=options.repeats)
    slow = measured("plain numpy", plain, *data, repeats=options.repeats)
    print(f"speaker_id is {slow / fast:.1f} times as fast")


if __name__ == "__main__":
    main()
