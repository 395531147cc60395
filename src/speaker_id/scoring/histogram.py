"""Scores counted by kind and bin instead of kept: any number of trials in the same small memory.

For `speaker_id.metrics.binned`, which turns the counts into error rates and says how far off they can be.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import ConfigError, DataError
from speaker_id.scoring.pairs import BLOCK_SCORES, FloatArray, IndexArray, speaker_numbers

Counts = NDArray[np.int64]

NUM_BINS = 2**15  # of cosines: 6e-5 wide; the counts, 256 kB of either kind, stay in the cache
MOST_BINS = 2**20  # float32 knows no finer cosines near 1 than 6e-8
TILE_ROWS, TILE_COLUMNS = 128, 1024  # pairs that are counted at once: 500 kB of scores stay in the cache meanwhile
BLOCK_TRIALS = 2**16  # listed scores that are counted at once, for the same reason


class ScoreHistogram(NamedTuple):
    """How many scores of each kind lie in edges[k] <= score < edges[k + 1]; the last bin includes its upper edge."""

    target: Counts  # (K,)
    nontarget: Counts  # (K,)
    edges: NDArray[np.float64]  # (K + 1,), rising, equally far apart


def all_pairs_histogram(embeddings: FloatArray, labels: ArrayLike, *, num_bins: int = NUM_BINS) -> ScoreHistogram:
    """The cosines of `all_pairs` (unit rows (N, E), labels (N,)), counted straight from the matrix product.

    An edge is as exact as a cosine in float32: a score within 1e-6 of it may be counted on its other side.
    """
    speakers, sizes = speaker_numbers(labels, len(embeddings))
    low, high, edges = _edges(-1.0, 1.0, num_bins)
    order = np.argsort(speakers, kind="stable")  # a speaker's recordings together: targets lie near the diagonal
    rows, ends = embeddings[order], np.cumsum(sizes)[speakers[order]]
    half = np.float32(num_bins / (high - low))
    scaled = rows * half
    counts = np.zeros((2, num_bins + 1), np.int64)  # a cosine of 1, or rounded beyond, lands behind the last bin
    for enrol, test, positions in _tiles(scaled, rows, ends):
        bins = (positions + half).astype(np.intp)  # towards zero: a cosine rounded below -1 stays in the first bin
        if test.start >= ends[enrol.stop - 1]:
            counts[0] += _count(bins.ravel(), num_bins + 1)
            continue
        first, second = np.arange(enrol.start, enrol.stop)[:, None], np.arange(test.start, test.stop)
        same = second < ends[enrol, None]
        for kind, chosen in enumerate((~same, same)):
            counts[kind] += _count(bins[chosen & (second > first)], num_bins + 1)
    counts[:, -2] += counts[:, -1]
    return ScoreHistogram(counts[1, :-1], counts[0, :-1], edges)


def histogram(
    blocks: Iterable[tuple[ArrayLike, ArrayLike]], *, low: float = -1.0, high: float = 1.0, num_bins: int = NUM_BINS
) -> ScoreHistogram:
    """Count blocks of trials, (scores, is_target) each of (M,), M as it comes: only one block is held at a time.

    Scores of a back end that leave -1...1 need their range: `score_range` finds it in a pass of its own. Raises
    `DataError` for a score outside `low`...`high` or not finite, and `ConfigError` for a range or `num_bins` without
    sense.
    """
    low, high, edges = _edges(low, high, num_bins)
    counts = np.zeros((2, num_bins), np.int64)
    for scores, is_target in _checked(blocks):
        if scores.min() < low or scores.max() > high:
            raise DataError(
                f"scores lie in {scores.min()}...{scores.max()}, outside the histogram's {low}...{high}: "
                "give low and high, which score_range finds"
            )
        bins = _bins(scores, edges)
        for kind, chosen in enumerate((bins[~is_target], bins[is_target])):
            counts[kind] += _count(chosen, num_bins)
    return ScoreHistogram(counts[1], counts[0], edges)


def score_range(blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> tuple[float, float]:
    """The lowest and the highest score of blocks of trials as `histogram` takes them, for its `low` and `high`."""
    extremes = [(float(scores.min()), float(scores.max())) for scores, _ in _checked(blocks)]
    if not extremes:
        raise DataError("there are no trials to evaluate")
    lows, highs = zip(*extremes, strict=True)
    low, high = min(lows), max(highs)
    return low, high if low < high else high + max(1.0, abs(high))  # all alike: any range around them will do


def _edges(low: float, high: float, num_bins: int) -> tuple[float, float, NDArray[np.float64]]:
    if not 1 <= num_bins <= MOST_BINS:
        raise ConfigError(f"num_bins must lie in 1...{MOST_BINS}, got {num_bins}")
    if not (low < high and np.isfinite(high - low)):
        raise ConfigError(f"a histogram needs low < high, both finite, got {low} and {high}")
    if (high - low) / num_bins < 8 * np.spacing(max(abs(low), abs(high))):
        raise ConfigError(f"{low}...{high} is too narrow for {num_bins} bins that floating point can tell apart")
    return low, high, np.linspace(low, high, num_bins + 1)


def _tiles(a: FloatArray, b: FloatArray, ends: IndexArray) -> Iterator[tuple[slice, slice, FloatArray]]:
    """Rows, columns and products of tiles that cover the diagonal of `a @ b.T` and all above it.

    A tile lies before or behind the last of `ends` (N,) of its rows, so that few need masks. One product makes many
    tiles: BLAS threads that meet less often suffer less from a busy machine.
    """
    num = len(a)
    step = max(1, min(8 * TILE_ROWS, BLOCK_SCORES // max(1, num)))
    for start in range(0, num, step):
        products = a[start : start + step] @ b[start:].T
        for top in range(start, min(start + step, num), TILE_ROWS):
            rows = slice(top, min(top + TILE_ROWS, start + step, num))
            last = int(ends[rows.stop - 1])
            for left, right in pairwise([*range(top, last, TILE_COLUMNS), *range(last, num, TILE_COLUMNS), num]):
                tile = products[top - start : rows.stop - start, left - start : right - start]
                yield rows, slice(left, right), tile


def _bins(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> IndexArray:
    """edges[bin] <= score < edges[bin + 1] to the last bit, which a product alone would miss now and then."""
    last = edges.size - 2
    bins: IndexArray = ((scores - edges[0]) * ((last + 1) / (edges[-1] - edges[0]))).astype(np.intp)
    np.minimum(bins, last, out=bins)
    bins -= scores < edges[bins]
    bins += (scores >= edges[bins + 1]) & (bins < last)
    return bins


def _count(bins: IndexArray, num: int) -> Counts:
    return np.bincount(bins, minlength=num).astype(np.int64, copy=False)


def _checked(blocks: Iterable[tuple[ArrayLike, ArrayLike]]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """The same trials in blocks that fit the cache."""
    for number, (block_scores, block_flags) in enumerate(blocks):
        scores, flags = np.asarray(block_scores), np.asarray(block_flags)
        if scores.ndim != 1 or scores.shape != flags.shape:
            raise DataError(
                f"block {number} (counted from 0): scores and labels must be two lists of one length, "
                f"got shapes {scores.shape} and {flags.shape}"
            )
        if flags.dtype != np.bool_ and not np.isin(flags, (0, 1)).all():
            raise DataError(f"block {number} (counted from 0): labels must be true (target) or false, or 1 and 0")
        for start in range(0, scores.size, BLOCK_TRIALS):
            part = scores[start : start + BLOCK_TRIALS].astype(np.float64)
            if not np.isfinite(part).all():
                raise DataError(f"block {number} (counted from 0) holds a score that is not a finite number")
            yield part, flags[start : start + BLOCK_TRIALS].astype(np.bool_)
