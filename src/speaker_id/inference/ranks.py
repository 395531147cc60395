"""Which of several processes this one is, and starting them where no launcher does."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import torch

from speaker_id.errors import ConfigError, SpeakerIdError

# What launchers tell a process: its number among all, how many there are, its number on this machine. torchrun, srun
# (the step's size: within a batch script SLURM_NTASKS counts tasks that nobody started), mpirun.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)


class Rank(NamedTuple):
    """One of `world` processes that share the work."""

    number: int = 0
    world: int = 1
    local: int = 0  # its number on this machine

    def share(self, numbers: Sequence[int]) -> list[int]:
        """Those of the numbers that are this process's own: every process asks for itself, and no two get the same."""
        return [number for number in numbers if number % self.world == self.number]

    def device(self, device: str) -> str:
        """A GPU of its own for each process of a machine, where `device` leaves open which one."""
        if device not in ("auto", "cuda") or self.world == 1 or not torch.cuda.is_available():
            return device
        return f"cuda:{self.local % torch.cuda.device_count()}"


def rank_of(environment: Mapping[str, str]) -> Rank:
    """The rank that a launcher gave; raises ConfigError for variables that make no sense."""
    for number, world, local in LAUNCHERS:
        if number in environment and world in environment:
            try:
                rank = Rank(int(environment[number]), int(environment[world]), int(environment.get(local, "0")))
            except ValueError:
                rank = Rank(0, 0)
            if not 0 <= rank.number < rank.world or rank.local < 0:
                raise ConfigError(
                    f"the environment says {number}={environment[number]} and {world}={environment[world]}: "
                    f"unset both, or let a launcher set them"
                )
            return rank
    return Rank()


@contextmanager
def further_ranks(command: Sequence[str], num_processes: int) -> Iterator[Callable[[], None]]:
    """Run ranks 1 … of `num_processes` as processes of their own while the block does rank 0's work, then wait.

    The block gets a function that raises when one of them has failed, to be called now and then. Raises SpeakerIdError
    with the last words of the one that failed; the others are ended, as they are by an error in the block.
    """
    threads = str(max(1, (os.cpu_count() or 1) // num_processes))
    shared = {"OMP_NUM_THREADS": threads, **os.environ, "WORLD_SIZE": str(num_processes)}
    with ExitStack() as stack:
        said = [stack.enter_context(TemporaryFile()) for _ in range(1, num_processes)]
        started = [
            subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=file)
            for rank, file in enumerate(said, start=1)
        ]

        def check() -> None:
            for number, (process, file) in enumerate(zip(started, said, strict=True), start=2):
                if process.poll():
                    words = _last_words(file) or f"exit status {process.returncode}"
                    raise SpeakerIdError(f"process {number} of {num_processes} stopped: {words}")

        try:
            yield check
            while any(process.poll() is None for process in started):
                check()
                time.sleep(0.1)
            check()
        finally:
            for process in started:
                process.terminate()
                process.wait()


def _last_words(file: IO[bytes]) -> str:
    """The message of a log's last line."""
    file.seek(0)
    lines = file.read().decode(errors="replace").strip()
    return lines.rpartition("\n")[2].rpartition(" ERROR ")[2]
