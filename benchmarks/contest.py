"""Contestants in processes of their own, taking turns in one run: what the neighbours of a shared machine do hits all.

Each benchmark names its contestants and what one measurement of one of them is; this module starts them round by
round, in another order each time, with the same threads, allocator and wait policy for all.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

THREADS = 2


class Measured(NamedTuple):
    seconds: list[float]  # of each repetition
    peak_gib: float  # of the process, whatever it imported included


def contest(script: str, contestants: dict[str, Callable[[int], list[float]]], *, unit: str, per_run: float) -> None:
    """Parse the command line and either measure one contestant or let all take turns, and print the table.

    A contestant is called with the number of repetitions and returns the seconds of each; a repetition does `per_run`
    units of work.
    """
    parser = argparse.ArgumentParser(description=f"{unit} per second of {', '.join(contestants)}")
    parser.add_argument("--only", nargs="*", choices=contestants, default=list(contestants))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3, help="in each round")
    parser.add_argument("--child", choices=contestants, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        seconds = contestants[given.child](given.repetitions)
        print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
        return
    print(f"{processor()}, {os.cpu_count()} cores, {THREADS} threads, Python {platform.python_version()}", flush=True)
    measured = take_turns(script, given.only, given.rounds, given.repetitions)
    print_table(measured, unit, per_run)


def take_turns(script: str, names: list[str], rounds: int, repetitions: int) -> dict[str, Measured]:
    seconds: dict[str, list[float]] = {name: [] for name in names}
    peaks = dict.fromkeys(names, 0.0)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            result = measure(script, name, repetitions)
            seconds[name] += result["seconds"]
            peaks[name] = max(peaks[name], result["peak"])
            print(f"  round {turn + 1}, {name}: {statistics.median(result['seconds']):.3f} s", flush=True)
    return {name: Measured(seconds[name], peaks[name]) for name in names}


def measure(script: str, name: str, repetitions: int) -> dict[str, list[float] | float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, script, "--child", name, "--repetitions", str(repetitions)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    result: dict[str, list[float] | float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def print_table(measured: dict[str, Measured], unit: str, per_run: float) -> None:
    """Medians over all rounds; the last column says how many times as fast as the first contestant each one is."""
    first = statistics.median(next(iter(measured.values())).seconds)
    print(f"\n{'':<24}{'median s':>10}{'fastest s':>11}{unit + '/s':>16}{'peak GiB':>10}{'x the first':>13}")
    for name, (seconds, peak) in measured.items():
        median = statistics.median(seconds)
        speed = f"{per_run / median:>16.1f}"
        print(f"{name:<24}{median:>10.3f}{min(seconds):>11.3f}{speed}{peak:>10.2f}{first / median:>13.2f}")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()
