"""Stretches of a recording, (n, 2): first sample and the one after the last, rising, none touching the next."""

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray, Stretches

NONE: Stretches = np.zeros((0, 2), np.int64)


def of_frames(flags: NDArray[np.bool_], *, hop: int, size: int) -> Stretches:
    """Runs of frames (T,), `size` samples each and one every `hop`, as stretches that hold them whole."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    found: Stretches = edges.reshape(-1, 2) * hop + np.array([0, size - hop])
    return found


def to_frames(stretches: Stretches, num_frames: int, *, hop: int, size: int) -> NDArray[np.bool_]:
    """(T,) whether the middle of each frame lies in a stretch."""
    middles = np.arange(num_frames) * hop + size // 2
    # An even number of edges up to a sample is outside
    inside: NDArray[np.bool_] = np.searchsorted(stretches.ravel(), middles, side="right") % 2 == 1
    return inside


def widened(stretches: Stretches, *, pad: int, min_pause: int, num_samples: int) -> Stretches:
    """Each `pad` samples longer at both ends, within the recording; pauses shorter than `min_pause` are closed."""
    if not len(stretches):
        return NONE
    wide = np.clip(stretches + np.array([-pad, pad]), 0, num_samples)
    apart = np.append(True, wide[1:, 0] - wide[:-1, 1] >= max(min_pause - 2 * pad, 1))
    first = np.flatnonzero(apart)
    return np.stack([wide[first, 0], np.maximum.reduceat(wide[:, 1], first)], axis=1)


def total(stretches: Stretches) -> int:
    """Samples in all."""
    return int((stretches[:, 1] - stretches[:, 0]).sum())


def part(stretches: Stretches, start: int, num: int) -> Stretches:
    """What lies at [start, start + num) when the stretches stand end to end, as stretches of the recording."""
    ends = np.cumsum(stretches[:, 1] - stretches[:, 0])
    begins = ends - (stretches[:, 1] - stretches[:, 0])
    low, high = np.clip(start - begins, 0, ends - begins), np.clip(start + num - begins, 0, ends - begins)
    pieces = np.stack([stretches[:, 0] + low, stretches[:, 0] + high], axis=1)
    kept: Stretches = pieces[high > low]
    return kept


def cut(waveform: FloatArray, stretches: Stretches) -> FloatArray:
    """(S,) -> its stretches end to end (S',)."""
    return np.concatenate([waveform[:0], *(waveform[first:end] for first, end in stretches)])
