"""Which utterances an epoch draws, in which order, and with which random numbers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from speaker_id.errors import ConfigError

SAMPLINGS = ("utterance", "speaker", "balanced")


class Draw(NamedTuple):
    """One training crop to make. The seed comes with it, so that no result depends on workers or ranks."""

    row: int
    speed: int  # position in the list of speeds
    seed: int


class TrainingSampler(Sampler[Draw]):
    """The crops of an epoch, the same for any number of workers; the ranks share out the batch of a single process.

    `utterance` draws every utterance at every speed `passes` times; `speaker` draws `crops_per_speaker` crops of every
    speaker at every speed, whatever their number of utterances; `balanced` fills every batch of every rank with
    different speakers, a speaker at another speed being another one, and `utterances_per_speaker` crops of each, one
    after the other, for as long as `passes` times the list is: every speaker equally often, and all utterances of a
    speaker before one of them again. An epoch is whole batches on every rank: with `utterance` and `speaker` the last
    one is filled up with the first draws of the epoch. Raises ConfigError for an unknown sampling, a size below 1, and
    batches that cannot be balanced.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        num_speeds: int,
        sampling: str,
        crops_per_speaker: int,
        utterances_per_speaker: int,
        passes: int = 1,
        batch_size: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if sampling not in SAMPLINGS:
            raise ConfigError(f"data.sampling={sampling!r} does not exist; choose one of {', '.join(SAMPLINGS)}")
        sizes = {
            "crops_per_speaker": crops_per_speaker,
            "utterances_per_speaker": utterances_per_speaker,
            "passes": passes,
            "batch_size": batch_size,
        }
        for name, number in sizes.items():
            if number < 1:
                raise ConfigError(f"data.{name} must be 1 or more, not {number}")
        order = np.argsort(np.asarray(labels), kind="stable")
        self.rows_of_speaker = np.split(order, np.flatnonzero(np.diff(np.asarray(labels)[order])) + 1)
        self.num_rows = len(labels)
        self.passes = passes
        self.num_speeds = num_speeds
        self.crops_per_speaker = crops_per_speaker if sampling == "speaker" else 0
        self.group = utterances_per_speaker if sampling == "balanced" else 0
        self.batch_size = batch_size
        self.batch = batch_size * num_ranks
        self.seed = seed
        self.rank, self.num_ranks = rank, num_ranks
        self.epoch = 0
        if self.group:
            self._check_groups()

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, after a resume too."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Crops of one rank."""
        drawn = len(self.rows_of_speaker) * self.crops_per_speaker or self.num_rows * self.passes
        return -(-drawn * self.num_speeds // self.batch) * self.batch // self.num_ranks

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self.seed, self.epoch))
        drawn = self._groups(rng) if self.group else self._shuffled(rng)
        seeds = rng.integers(0, 2**63, size=len(drawn))
        # A group stays together, so of those each rank takes a batch in turn; else every num_ranks-th draw.
        block = self.batch_size if self.group else 1
        mine = np.arange(len(drawn)).reshape(-1, self.num_ranks, block)[:, self.rank].ravel()
        for (row, speed), seed in zip(drawn[mine], seeds[mine], strict=True):
            yield Draw(int(row), int(speed), int(seed))

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        """Rows and speeds of all ranks (len(self) * num_ranks, 2), without regard to who is beside whom."""
        rows = self._rows(rng)
        drawn = np.stack(np.meshgrid(rows, np.arange(self.num_speeds), indexing="ij"), axis=-1).reshape(-1, 2)
        drawn = drawn[rng.permutation(len(drawn))]  # rng.shuffle of two columns is ten times slower
        return np.resize(drawn, (len(self) * self.num_ranks, 2))

    def _rows(self, rng: np.random.Generator) -> np.ndarray:
        if not self.crops_per_speaker:
            return np.tile(np.arange(self.num_rows), self.passes)
        # Whole passes over a speaker's utterances before any of them is drawn again.
        return np.concatenate([rows[rounds(rng, len(rows), self.crops_per_speaker)] for rows in self.rows_of_speaker])

    def _groups(self, rng: np.random.Generator) -> np.ndarray:
        """Rows and speeds of all ranks (len(self) * num_ranks, 2), group by group."""
        num_classes = len(self.rows_of_speaker) * self.num_speeds
        together = self.batch // self.group  # in the batches of all ranks, where there are as many
        window = together if together <= num_classes else self.batch_size // self.group
        order = rounds(rng, num_classes, len(self) * self.num_ranks // self.group, window)
        rows = np.empty((len(order), self.group), dtype=np.int64)
        places = np.split(np.argsort(order, kind="stable"), np.cumsum(np.bincount(order, minlength=num_classes))[:-1])
        for number, place in enumerate(places):
            own = self.rows_of_speaker[number // self.num_speeds]
            rows[place] = own[rounds(rng, len(own), place.size * self.group, self.group)].reshape(-1, self.group)
        return np.stack([rows.ravel(), np.repeat(order % self.num_speeds, self.group)], axis=-1)

    def _check_groups(self) -> None:
        if self.batch_size % self.group:
            raise ConfigError(
                f"data.batch_size={self.batch_size} is no multiple of data.utterances_per_speaker={self.group}, as "
                f"data.sampling=balanced needs; take {-(-self.batch_size // self.group) * self.group}"
            )
        wanted, there = self.batch_size // self.group, len(self.rows_of_speaker) * self.num_speeds
        if wanted > there:
            raise ConfigError(
                f"data.batch_size={self.batch_size} holds {wanted} speakers at data.utterances_per_speaker="
                f"{self.group}, and there are {there} to train on; take data.batch_size={there * self.group} or less"
            )


def rounds(rng: np.random.Generator, num_items: int, num_draws: int, window: int = 1) -> np.ndarray:
    """Numbers below `num_items`, each once before any again, in another order every time: (num_draws,).

    Cut into pieces of `window`, no piece holds a number twice as long as there are enough to choose from.
    """
    parts, length = [np.empty(0, dtype=np.int64)], 0
    while length < num_draws:
        fresh = rng.permutation(num_items)
        begun = length % window  # numbers already in the piece that the last permutation left unfinished
        if begun:
            free = np.flatnonzero(~np.isin(fresh, parts[-1][-begun:]))[: window - begun]
            fresh = np.concatenate([fresh[free], np.delete(fresh, free)])
        parts.append(fresh)
        length += num_items
    return np.concatenate(parts)[:num_draws]
