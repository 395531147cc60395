"""How well a gallery finds who is in it, and leaves out who is not: open-set identification, 1 : N.

A search compares one recording with everybody in the gallery. It is *mated* when its speaker is enrolled. A candidate
is shown when its score reaches the threshold, so (ISO/IEC 19795-1; Grother & Ngan, NIST IR 8271, FRVT part 2):

    FPIR(N, T)     part of the non-mated searches that show anybody
    FNIR(N, R, T)  part of the mated searches whose mate is not shown among the first R candidates
    DIR            1 - FNIR: detection and identification rate; at T = -inf it is the rank-R identification rate
    CMC            the rank-R identification rate against R

Where scores are equal the mate comes last: a system that says the same of everybody finds nobody.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics.trials import Array, Scores, just_above

NON_MATED = -1


class Searches(NamedTuple):
    """What a gallery answered: all that thresholds and ranks need of it. Searches can be joined with `join`."""

    mate_scores: Scores  # (P,) of the mated searches
    mate_ranks: NDArray[np.intp]  # (P,) 1: best
    best_scores: Scores  # (Q,) of the non-mated searches

    def found(self, rank: int) -> NDArray[np.bool_]:
        """(P,): the mate is among the first `rank` candidates."""
        if rank < 1:
            raise ConfigError(f"ranks are counted from 1, got {rank}")
        return self.mate_ranks <= rank


class Detection(NamedTuple):
    """The highest DIR whose FPIR is within what was asked for; `fpir` is what it then is, at `threshold` (finite)."""

    dir: float
    fpir: float
    threshold: float


def searches(scores: ArrayLike, mates: ArrayLike) -> Searches:
    """Scores of searches against a gallery (P, N), and the column of each one's mate (P,), -1 without a mate.

    Raises `DataError` for another shape, a score that is not finite, or a mate that is no column.
    """
    table, columns = np.asarray(scores), np.asarray(mates)
    if table.ndim != 2 or table.shape[1] == 0 or columns.shape != table.shape[:1]:
        raise DataError(f"searches are a table (P, N) and (P,) mates, got shapes {table.shape} and {columns.shape}")
    if columns.size and (
        columns.dtype.kind not in "iu" or columns.min() < NON_MATED or columns.max() >= table.shape[1]
    ):
        raise DataError(f"a mate is one of the columns 0 to {table.shape[1] - 1}, or {NON_MATED}")
    if table.dtype not in (np.float32, np.float64):
        table = table.astype(np.float64)
    if not np.isfinite(table).all():
        raise DataError(f"search {np.argwhere(~np.isfinite(table))[0][0]} has a score that is not a finite number")
    mated = columns != NON_MATED
    of_mates = table[mated, columns[mated]]
    return Searches(of_mates, (table[mated] >= of_mates[:, None]).sum(axis=1), table[~mated].max(axis=1))


def join(parts: list[Searches]) -> Searches:
    """Searches of several galleries of one size, or of blocks of one table, as one."""
    mate_scores, mate_ranks, best_scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Searches(mate_scores, mate_ranks, best_scores)


def fpir(answered: Searches, threshold: float) -> float:
    """False positive identification rate. Raises `DataError` without non-mated searches."""
    _need(answered.best_scores, "non-mated")
    return float(np.mean(answered.best_scores >= np.float64(threshold)))


def fnir(answered: Searches, threshold: float = -np.inf, *, rank: int = 1) -> float:
    """False negative identification rate. Raises `DataError` without mated searches."""
    _need(answered.mate_scores, "mated")
    return float(1 - np.mean(answered.found(rank) & (answered.mate_scores >= np.float64(threshold))))


def cmc(answered: Searches, max_rank: int) -> Array:
    """Cumulative match characteristic, (max_rank,): the identification rates of rank 1, 2, ..."""
    _need(answered.mate_scores, "mated")
    return np.array([np.mean(answered.found(rank)) for rank in range(1, max_rank + 1)])


def error_curve(answered: Searches, *, rank: int = 1) -> tuple[Scores, Array, Array]:
    """thresholds, fpir, fnir, each (M,): every operating point in rising order of its threshold, the last at +inf."""
    _need(answered.best_scores, "non-mated")
    _need(answered.mate_scores, "mated")
    distinct = np.unique(np.concatenate([answered.mate_scores, answered.best_scores]))
    thresholds = np.append(distinct, distinct.dtype.type(np.inf))
    found, best = np.sort(answered.mate_scores[answered.found(rank)]), np.sort(answered.best_scores)
    shown = found.size - np.searchsorted(found, thresholds)
    return thresholds, 1 - np.searchsorted(best, thresholds) / best.size, 1 - shown / answered.mate_scores.size


def dir_at_fpir(
    answered: Searches,
    target: float,
    *,
    rank: int = 1,
    mated_weights: ArrayLike | None = None,
    nonmated_weights: ArrayLike | None = None,
) -> Detection:
    """Detection and identification rate at the lowest threshold whose FPIR is at most `target`.

    Weights (P,), (Q,) say how often each search counts, for a bootstrap. Raises `ConfigError` for a target outside
    0...1, `DataError` without searches of both kinds.
    """
    if not 0 <= target <= 1:
        raise ConfigError(f"FPIR must lie in 0...1, got {target}")
    _need(answered.best_scores, "non-mated")
    _need(answered.mate_scores, "mated")
    best, weights = answered.best_scores, _weights(nonmated_weights, answered.best_scores)
    falling = np.argsort(-best, kind="stable")
    shown = np.cumsum(weights[falling])
    refused = int(np.searchsorted(shown / shown[-1], target, side="right"))
    if refused == best.size:
        threshold = float(min(best.min(), answered.mate_scores.min()))
    else:
        threshold = just_above(best[falling[refused]])
    return Detection(
        _mean(answered.found(rank) & (answered.mate_scores >= np.float64(threshold)), mated_weights),
        _mean(best >= np.float64(threshold), nonmated_weights),
        threshold,
    )


def _weights(weights: ArrayLike | None, like: Scores) -> Array:
    return np.ones(like.size) if weights is None else np.asarray(weights, np.float64)


def _mean(flags: NDArray[np.bool_], weights: ArrayLike | None) -> float:
    return float(np.average(flags, weights=None if weights is None else np.asarray(weights)))


def _need(scores: NDArray[Any], kind: str) -> None:
    if scores.size == 0:
        raise DataError(f"there are no {kind} searches: this rate needs some")
