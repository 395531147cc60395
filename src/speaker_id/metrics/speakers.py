"""Trials of speakers drawn with replacement.

Trials that share a speaker stand or fall together, so drawing trials would give far too narrow an interval (Bolle,
Ratha & Pankanti, "The subsets bootstrap", 2004). A speaker drawn m times counts as m different people with the same
recordings: its target trials weigh m, the trials between a and b weigh m_a m_b, and copies never meet each other, as
they would be nontarget trials of one voice. Draws without both kinds of trials are repeated.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import DataError
from speaker_id.metrics.trials import KINDS, Array, Flags, Scores, SortedTrials, WeightedTrials

Index = NDArray[np.intp]


class SpokenTrials:
    """One system's sorted trials, and who speaks in them."""

    def __init__(self, scores: Scores, is_target: Flags, pairs: tuple[Index, Index]) -> None:
        """`pairs` are two factors of each trial's weight, as `weight_factors` names them."""
        orders = [rows[np.argsort(scores[rows])] for rows in (np.flatnonzero(is_target), np.flatnonzero(~is_target))]
        self.sorted = SortedTrials(*(scores[order] for order in orders))
        self._factors = [(pairs[0][order], pairs[1][order]) for order in orders]

    def weighted(self, multiplicities: Array) -> WeightedTrials:
        weights = (multiplicities[first] * multiplicities[second] for first, second in self._factors)
        return WeightedTrials(self.sorted, *weights)


def weight_factors(is_target: Flags, enrol_speakers: ArrayLike, test_speakers: ArrayLike) -> tuple[Index, Index, int]:
    """Two speakers' numbers (M,) per trial, whose multiplicities make its weight, and the number S of speakers.

    Speaker ids (M,) are numbers or names. The second speaker of a target trial is number S, who is always there once:
    target trials weigh m, not m * m. Labels that contradict the speakers are a `DataError`.
    """
    enrol, test = np.asarray(enrol_speakers), np.asarray(test_speakers)
    if enrol.shape != is_target.shape or test.shape != is_target.shape:
        num = is_target.size
        raise DataError(f"{num} trials need as many speakers, got {enrol.shape} enrolled and {test.shape} test")
    if (wrong := np.flatnonzero((enrol == test) != is_target)).size:
        names = f"{enrol[wrong[0]]} and {test[wrong[0]]}"
        raise DataError(f"trial {wrong[0]} is labelled {KINDS[int(is_target[wrong[0]])]}, but its speakers are {names}")
    speakers = np.union1d(enrol, test)
    first, second = np.searchsorted(speakers, enrol), np.searchsorted(speakers, test)
    second[is_target] = speakers.size
    return first, second, speakers.size


def draws(
    systems: Sequence[SpokenTrials], num_speakers: int, rng: np.random.Generator
) -> Iterator[tuple[WeightedTrials, ...]]:
    """The trials of each system, of the same trials, under the same draws; without end."""
    while True:
        drawn = rng.integers(num_speakers, size=num_speakers)
        multiplicities = np.append(np.bincount(drawn, minlength=num_speakers), 1).astype(np.float64)
        weighted = tuple(system.weighted(multiplicities) for system in systems)
        if weighted[0].num_targets and weighted[0].num_nontargets:
            yield weighted
