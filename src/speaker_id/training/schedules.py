"""Learning rates over a run; the lengths are epochs, so that a change of batch size or ranks keeps their shape."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from speaker_id.errors import ConfigError


def warmup_cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float,
    final_ratio: float,
    length: float = 1.0,
) -> LambdaLR:
    """From 0 in a straight line to the optimiser's rate, then half a cosine down to `final_ratio` of it.

    The cosine ends at `length` times the run: above 1, the run stops on its way down. Raises ConfigError for a length
    under 1, and for a warm-up that fills the run.
    """
    if length < 1:
        raise ConfigError(f"scheduler.length={length} must be 1 (the cosine ends with the run) or more")
    warmup = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / max(1.0, length * total_steps - warmup))
        return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def step_decay(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float,
    every_epochs: float,
    factor: float,
) -> LambdaLR:
    """From 0 in a straight line to the optimiser's rate, which every `every_epochs` epochs is multiplied by `factor`.

    Epochs count from the start of the run. Raises ConfigError for a factor outside 0 .. 1, for less than a step
    between two, and for a warm-up that fills the run.
    """
    warmup = _warmup_steps(warmup_epochs, steps_per_epoch, total_steps)
    every = round(every_epochs * steps_per_epoch)
    if every < 1 or not 0 < factor <= 1:
        raise ConfigError(
            f"scheduler.every_epochs={every_epochs} must hold a step or more, of {steps_per_epoch} an epoch, and "
            f"scheduler.factor={factor} lie in 0 < factor <= 1"
        )

    def scale(step: int) -> float:
        rising = step / warmup if step < warmup else 1.0
        return float(rising * factor ** (step // every))

    return LambdaLR(optimizer, scale)


def _warmup_steps(warmup_epochs: float, steps_per_epoch: int, total_steps: int) -> int:
    warmup = round(warmup_epochs * steps_per_epoch)
    if warmup >= total_steps:
        raise ConfigError(
            f"scheduler.warmup_epochs={warmup_epochs} is {warmup} steps, and the run has {total_steps}; "
            "make it shorter or raise trainer.max_epochs"
        )
    return warmup
