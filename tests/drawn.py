"""A random part of a long list of cases, another each day; all of it where SPEAKER_ID_TEST_ALL is set."""

import datetime
import os
import random
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")
Pair = tuple[str, ...]

ALL = bool(os.environ.get("SPEAKER_ID_TEST_ALL"))
# The day, not the clock: all workers of a run, and whoever repeats it, must draw the same cases.
SEED = os.environ.get("SPEAKER_ID_TEST_SEED", datetime.datetime.now(datetime.UTC).date().isoformat())


def one_in(number: int, cases: Sequence[Case]) -> list[Case]:
    if ALL:
        return list(cases)
    chosen = random.Random(SEED).sample(range(len(cases)), -(-len(cases) // number))
    return [cases[position] for position in sorted(chosen)]


def one_in_with_every_value(number: int, cases: Sequence[Pair]) -> list[Pair]:
    """One in `number`, and as many more as it takes for every value to occur at its place of some case."""
    chosen = set(one_in(number, cases))
    shuffled = random.Random(SEED).sample(cases, len(cases))
    for case in shuffled:
        if not set(enumerate(case)) <= {value for other in chosen for value in enumerate(other)}:
            chosen.add(case)
    return sorted(chosen)
