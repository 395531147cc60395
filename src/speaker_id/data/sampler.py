"""Which utterances an epoch draws, in which order, and with which random numbers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from speaker_id.errors import ConfigError

SAMPLINGS = ("utterance", "speaker")


class Draw(NamedTuple):
    """One training crop to make. The seed comes with it, so that no result depends on workers or ranks."""

    row: int
    speed: int  # position in the list of speeds
    seed: int


class TrainingSampler(Sampler[Draw]):
    """The crops of an epoch, the same for any number of workers; each rank takes every `num_ranks`-th.

    `utterance` draws every utterance at every speed `passes` times; `speaker` draws `crops_per_speaker` crops of every
    speaker at every speed, whatever their number of utterances. An epoch is whole batches on every rank: the last one
    is filled up with the first draws of the epoch. Raises ConfigError for an unknown sampling or a size below 1.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        num_speeds: int,
        sampling: str,
        crops_per_speaker: int,
        passes: int = 1,
        batch_size: int,
        seed: int,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if sampling not in SAMPLINGS:
            raise ConfigError(f"data.sampling={sampling!r} does not exist; choose one of {', '.join(SAMPLINGS)}")
        for name, number in (("crops_per_speaker", crops_per_speaker), ("passes", passes), ("batch_size", batch_size)):
            if number < 1:
                raise ConfigError(f"data.{name} must be 1 or more, not {number}")
        order = np.argsort(np.asarray(labels), kind="stable")
        self.rows_of_speaker = np.split(order, np.flatnonzero(np.diff(np.asarray(labels)[order])) + 1)
        self.num_rows = len(labels)
        self.passes = passes
        self.num_speeds = num_speeds
        self.crops_per_speaker = crops_per_speaker if sampling == "speaker" else 0
        self.batch = batch_size * num_ranks
        self.seed = seed
        self.rank, self.num_ranks = rank, num_ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, after a resume too."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Crops of one rank."""
        drawn = len(self.rows_of_speaker) * self.crops_per_speaker or self.num_rows * self.passes
        return -(-drawn * self.num_speeds // self.batch) * self.batch // self.num_ranks

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng((self.seed, self.epoch))
        rows = self._rows(rng)
        drawn = np.stack(np.meshgrid(rows, np.arange(self.num_speeds), indexing="ij"), axis=-1).reshape(-1, 2)
        rng.shuffle(drawn)
        drawn = np.resize(drawn, (len(self) * self.num_ranks, 2))
        seeds = rng.integers(0, 2**63, size=len(drawn))
        for (row, speed), seed in zip(
            drawn[self.rank :: self.num_ranks], seeds[self.rank :: self.num_ranks], strict=True
        ):
            yield Draw(int(row), int(speed), int(seed))

    def _rows(self, rng: np.random.Generator) -> np.ndarray:
        if not self.crops_per_speaker:
            return np.tile(np.arange(self.num_rows), self.passes)
        # Whole passes over a speaker's utterances before any of them is drawn again.
        passes = [
            np.concatenate([rng.permutation(rows) for _ in range(-(-self.crops_per_speaker // len(rows)))])
            for rows in self.rows_of_speaker
        ]
        return np.concatenate([rows[: self.crops_per_speaker] for rows in passes])
