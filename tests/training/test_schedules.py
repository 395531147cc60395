import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.errors import ConfigError
from speaker_id.training.schedules import warmup_cosine


def rates(
    *, total_steps: int, steps_per_epoch: int, warmup_epochs: float, final_ratio: float = 0.01, lr: float = 1.0
) -> list[float]:
    """The rate of every step, and the one after the last."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = warmup_cosine(
        optimizer,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=warmup_epochs,
        final_ratio=final_ratio,
    )
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
