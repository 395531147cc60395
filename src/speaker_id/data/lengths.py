"""Exact batches without padding: recordings of one length go together, so no embedding knows its batch mates."""

from collections import defaultdict
from collections.abc import Sequence


def trim_length(num_samples: int, sample_rate: int) -> int:
    """The largest multiple of 0.1 s within a recording: less than 0.1 s of it is given up.

    At 0.1 s the number of different lengths is small enough for batches to fill. A recording shorter than 0.1 s
    gives 0, which no model can embed: check a minimum duration first.
    """
    step = max(1, sample_rate // 10)
    return num_samples - num_samples % step


def equal_length_batches(lengths: Sequence[int], *, max_batch_samples: int) -> list[list[int]]:
    """Indices into `lengths`, each exactly once; every batch holds one length, and at most `max_batch_samples` in all.

    A recording longer than `max_batch_samples` is a batch of its own. Longest first, so that a batch that does not
    fit in memory fails at once; within one length the order of the input is kept.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        by_length[length].append(index)
    batches = []
    for length in sorted(by_length, reverse=True):
        indices = by_length[length]
        size = max(1, max_batch_samples // max(1, length))
        batches += [indices[start : start + size] for start in range(0, len(indices), size)]
    return batches
