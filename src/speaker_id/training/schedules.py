"""Learning rates over a run; the lengths are epochs, so that a change of batch size or ranks keeps their shape."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from speaker_id.errors import ConfigError


def warmup_cosine(
    optimizer: Optimizer, *, total_steps: int, steps_per_epoch: int, warmup_epochs: float, final_ratio: float
) -> LambdaLR:
    """From 0 in a straight line to the optimiser's rate, then half a cosine down to `final_ratio` of it."""
    warmup = round(warmup_epochs * steps_per_epoch)
    if warmup >= total_steps:
        raise ConfigError(
            f"scheduler.warmup_epochs={warmup_epochs} is {warmup} steps, and the run has {total_steps}; "
            "make it shorter or raise trainer.max_epochs"
        )

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)
