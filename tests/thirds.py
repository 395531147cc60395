"""A random third of a long list of cases, another each day; all of it where SPEAKER_ID_TEST_ALL is set."""

import datetime
import os
import random
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")

ALL = bool(os.environ.get("SPEAKER_ID_TEST_ALL"))
# The day, not the clock: all workers of a run, and whoever repeats it, must draw the same cases.
SEED = os.environ.get("SPEAKER_ID_TEST_SEED", datetime.datetime.now(datetime.UTC).date().isoformat())


def some_of(cases: Sequence[Case]) -> list[Case]:
    if ALL:
        return list(cases)
    chosen = random.Random(SEED).sample(range(len(cases)), -(-len(cases) // 3))
    return [cases[position] for position in sorted(chosen)]
