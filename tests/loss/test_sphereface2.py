"""SphereFace2 by hand, and where its bias begins."""

import math
from typing import Any, Literal

import pytest
import torch

from speaker_id.errors import ConfigError
from speaker_id.loss.sphereface2 import SphereFace2


def made(**changes: Any) -> SphereFace2:
    """Two speakers, along the axes; the bias is 0.5."""
    options = {"margin": 0.2, "scale": 2.0, "target_weight": 0.7, "t": 1.0, "margin_type": "C"} | changes
    loss = SphereFace2(2, 2, **options)
    with torch.no_grad():
        loss.head.weight.copy_(torch.eye(2))
        loss.bias.fill_(0.5)
    return loss


def value(loss: SphereFace2, row: list[float]) -> float:
    return float(loss(torch.tensor([row]), torch.tensor([0])).loss.detach())


def no(logit: float) -> float:
    return math.log(1 + math.exp(logit))


def test_type_c_moves_the_target_down_and_the_others_up() -> None:
    # cosines 0.6 and 0.8, target first; t = 1 leaves them: logits 2 (0.6 - 0.2) + 0.5 and 2 (0.8 + 0.2) + 0.5
    assert value(made(), [3.0, 4.0]) == pytest.approx(0.7 * no(-1.3) + 0.3 * no(2.5), abs=1e-6)


def test_t_spreads_the_cosines() -> None:
    # g(0.6) = 2 * 0.8^3 - 1 = 0.024 and g(0.8) = 2 * 0.9^3 - 1 = 0.458
    loss = made(t=3.0, margin=0.0)
    assert value(loss, [3.0, 4.0]) == pytest.approx(0.7 * no(-0.548) + 0.3 * no(1.416), abs=1e-6)
    logits = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0])).logits
    torch.testing.assert_close(logits, torch.tensor([[0.548, 1.416]]))


def test_type_a_turns_the_target_alone() -> None:
    # angles 60 and 30 degrees, margin 30: g(cos 90) = 2 * 0.5^2 - 1 = -0.5
    loss = made(margin=math.pi / 6, t=2.0, margin_type="A")
    other = 2 * ((1 + math.cos(math.pi / 6)) / 2) ** 2 - 1
    assert value(loss, [0.5, 0.75**0.5]) == pytest.approx(0.7 * no(0.5) + 0.3 * no(2 * other + 0.5), abs=1e-5)


def test_type_a_turns_no_further_than_to_the_opposite() -> None:
    loss = made(margin=0.5, margin_type="A")
    assert value(loss, [-1.0, 0.01]) == pytest.approx(0.7 * no(2 - 0.5) + 0.3 * no(0.52), abs=1e-3)


def test_the_loss_is_a_mean_over_the_batch() -> None:
    rows, labels, loss = torch.tensor([[3.0, 4.0], [1.0, -2.0]]), torch.tensor([0, 1]), made()
    alone = [loss(rows[i : i + 1], labels[i : i + 1]).loss for i in range(2)]
    torch.testing.assert_close(loss(rows, labels).loss, torch.stack(alone).mean())


@pytest.mark.parametrize("margin_type", ["A", "C"])
@pytest.mark.parametrize("num_speakers", [2, 3, 4, 1000])
@pytest.mark.parametrize(("scale", "margin"), [(32.0, 0.2), (64.0, 0.4), (1.0, 0.0)])
def test_the_bias_begins_where_nothing_moves_it(
    margin_type: Literal["A", "C"], num_speakers: int, scale: float, margin: float
) -> None:
    """With all cosines 0, as between random directions, target and others pull equally hard."""
    loss = SphereFace2(
        num_speakers + 1, num_speakers, margin=margin, scale=scale, target_weight=0.7, t=3.0, margin_type=margin_type
    ).double()
    with torch.no_grad():
        loss.head.weight.copy_(torch.eye(num_speakers, num_speakers + 1))
    row = torch.zeros(1, num_speakers + 1, dtype=torch.float64)
    row[0, -1] = 1.0
    loss(row, torch.tensor([0])).loss.backward()
    assert loss.bias.grad is not None
    assert abs(float(loss.bias.grad)) < 2e-5 * 0.3 * num_speakers  # the bias itself is rounded to float32
    with torch.no_grad():
        loss.bias += 1.0
    loss.bias.grad = None
    loss(row, torch.tensor([0])).loss.backward()
    assert loss.bias.grad > 1e-6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"margin_type": "M"}, r"loss\.margin_type='M' does not exist; choose A \(angle\) or C"),
        ({"target_weight": 1.0}, r"loss\.target_weight=1\.0 must lie between 0 and 1"),
        ({"t": 0.5}, r"loss\.t=0\.5 be 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        made(**changes)
