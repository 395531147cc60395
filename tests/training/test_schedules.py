import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.errors import ConfigError
from speaker_id.training.schedules import step_decay, warmup_cosine


def rates(
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float,
    final_ratio: float = 0.01,
    length: float = 1.0,
    lr: float = 1.0,
) -> list[float]:
    """The rate of every step under warmup_cosine, and the one after the last."""
    made = partial(warmup_cosine, warmup_epochs=warmup_epochs, final_ratio=final_ratio, length=length)
    return rates_of(made, total_steps=total_steps, steps_per_epoch=steps_per_epoch, lr=lr)


def rates_of(schedule: Any, *, total_steps: int, steps_per_epoch: int, lr: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule(optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    found = []
    for _ in range(total_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_values_worked_by_hand() -> None:
    # 100 steps, 20 of them warm-up, to a tenth: 0 -> 0.5 over 20 steps, then down over 80.
    found = rates(total_steps=100, steps_per_epoch=10, warmup_epochs=2, final_ratio=0.1, lr=0.5)
    assert found[0] == 0.0
    assert found[1] == pytest.approx(0.025)
    assert found[10] == pytest.approx(0.25)
    assert found[20] == pytest.approx(0.5)
    assert found[40] == pytest.approx(0.5 * (0.1 + 0.9 * (2 + math.sqrt(2)) / 4))  # cos(pi / 4)
    assert found[60] == pytest.approx(0.5 * (0.1 + 0.9 / 2))
    assert found[100] == pytest.approx(0.05)


def test_no_warm_up_begins_at_the_full_rate() -> None:
    found = rates(total_steps=10, steps_per_epoch=5, warmup_epochs=0)
    assert found[0] == 1.0
    assert found == sorted(found, reverse=True)


@given(st.integers(1, 8), st.integers(2, 20), st.integers(0, 100))
def test_the_curve_over_epochs_does_not_depend_on_the_steps_of_an_epoch(
    epochs_after: int, factor: int, final_per_cent: int
) -> None:
    warmup = 1
    how = {"warmup_epochs": float(warmup), "final_ratio": final_per_cent / 100}
    num_epochs = warmup + epochs_after
    coarse = rates(total_steps=4 * num_epochs, steps_per_epoch=4, **how)  # type: ignore[arg-type]
    fine = rates(total_steps=4 * factor * num_epochs, steps_per_epoch=4 * factor, **how)  # type: ignore[arg-type]
    assert fine[::factor] == pytest.approx(coarse, abs=1e-9)


@given(st.integers(2, 60), st.integers(1, 10), st.floats(0, 1))
def test_the_rate_rises_then_falls_and_stays_between_zero_and_the_full_rate(
    total_steps: int, steps_per_epoch: int, final_ratio: float
) -> None:
    warmup_epochs = (total_steps // 2) / steps_per_epoch
    found = rates(
        total_steps=total_steps, steps_per_epoch=steps_per_epoch, warmup_epochs=warmup_epochs, final_ratio=final_ratio
    )
    top = total_steps // 2
    assert found[top] == pytest.approx(max(found)) == pytest.approx(1.0)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert min(found) >= 0
    assert found[-1] == pytest.approx(final_ratio)


def test_the_rate_stays_at_its_end_when_a_run_goes_on() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = warmup_cosine(optimizer, total_steps=4, steps_per_epoch=2, warmup_epochs=0.5, final_ratio=0.2)
    for _ in range(9):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize("warmup_epochs", [2.0, 5.0])
def test_a_warm_up_as_long_as_the_run_is_refused(warmup_epochs: float) -> None:
    with pytest.raises(ConfigError, match=rf"scheduler.warmup_epochs={warmup_epochs} is .* steps, and the run has 20"):
        rates(total_steps=20, steps_per_epoch=10, warmup_epochs=warmup_epochs)


def test_a_longer_cosine_is_cut_off_by_the_end_of_the_run() -> None:
    """30 epochs of a cosine over 1.2 times that, as ppvector trains: at the end 25 of the 31 epochs after warm-up."""
    found = rates(total_steps=300, steps_per_epoch=10, warmup_epochs=5, final_ratio=0.0, length=1.2)
    assert found[50] == 1.0
    assert found[205] == pytest.approx(0.5)  # 15.5 of 31 epochs after warm-up
    assert found[300] == pytest.approx(0.5 * (1 + math.cos(math.pi * 25 / 31)))
    assert found[:155] == pytest.approx(
        rates(total_steps=360, steps_per_epoch=10, warmup_epochs=5, final_ratio=0.0)[:155]
    )


def test_a_cosine_shorter_than_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scheduler.length=0.5 must be 1 .* or more"):
        rates(total_steps=20, steps_per_epoch=10, warmup_epochs=0.5, length=0.5)


def test_step_decay_worked_by_hand() -> None:
    # 4 steps an epoch: a tenth after epochs 2 and 4
    schedule = partial(step_decay, warmup_epochs=0.0, every_epochs=2.0, factor=0.1)
    found = rates_of(schedule, total_steps=20, steps_per_epoch=4, lr=0.5)
    assert found == pytest.approx([0.5] * 8 + [0.05] * 8 + [0.005] * 5)


def test_step_decay_rises_first_and_counts_its_epochs_from_the_start() -> None:
    schedule = partial(step_decay, warmup_epochs=1.0, every_epochs=2.0, factor=0.5)
    found = rates_of(schedule, total_steps=12, steps_per_epoch=4)
    assert found == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"every_epochs": 0.01}, r"every_epochs=0.01 must hold a step or more, of 10 an epoch"),
        ({"factor": 0.0}, r"scheduler.factor=0.0 lie in 0 < factor <= 1"),
        ({"factor": 1.5}, r"scheduler.factor=1.5"),
        ({"warmup_epochs": 2.0}, r"scheduler.warmup_epochs=2.0 is 20 steps, and the run has 20"),
    ],
)
def test_a_step_decay_that_cannot_be_says_why(options: dict[str, float], reason: str) -> None:
    schedule = partial(step_decay, **{"warmup_epochs": 0.0, "every_epochs": 1.0, "factor": 0.1, **options})
    with pytest.raises(ConfigError, match=reason):
        rates_of(schedule, total_steps=20, steps_per_epoch=10)
