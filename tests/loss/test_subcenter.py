"""Sub-centres and the inter-top-k penalty, by hand on the unit circle."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from speaker_id.errors import ConfigError
from speaker_id.loss.cosine import AdditiveAngularMargin
from speaker_id.loss.subcenter import SubcenterAngularMargin, with_penalty

DEGREE = math.pi / 180


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees) * DEGREE
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def made(*degrees: float, num_speakers: int, **changes: Any) -> SubcenterAngularMargin:
    """Centres at these angles, those of a speaker side by side."""
    options = {"margin": 30 * DEGREE, "scale": 4.0, "k_top": 5, "penalty": 0.0} | changes
    loss = SubcenterAngularMargin(2, num_speakers, num_centers=len(degrees) // num_speakers, **options)
    with torch.no_grad():
        loss.head.weight.copy_(on_circle(*degrees))
    return loss


def value(loss: SubcenterAngularMargin, degrees: float, label: int = 0) -> float:
    return float(loss(on_circle(degrees), torch.tensor([label])).loss.detach())


def cosine(degrees: float) -> float:
    return math.cos(degrees * DEGREE)


def test_the_nearest_centre_of_each_speaker_counts() -> None:
    loss = made(0, 90, 180, 270, num_speakers=2)  # from 30 degrees: 30 and 60 away, 150 and 120 away
    assert value(loss, 30) == pytest.approx(math.log(1 + math.exp(4 * (cosine(120) - cosine(30 + 30)))), abs=1e-5)
    logits = loss(on_circle(30), torch.tensor([0])).logits
    torch.testing.assert_close(logits, torch.tensor([[4 * cosine(30), 4 * cosine(120)]]))


def test_the_penalty_turns_the_nearest_others_nearer() -> None:
    loss = made(0, 50, 110, 250, num_speakers=4, k_top=2, penalty=20 * DEGREE)
    # from 10 degrees: 10, 40, 100 and 120 away; the middle two are the nearest others
    logits = [4 * cosine(10 + 30), 4 * cosine(40 - 20), 4 * cosine(100 - 20), 4 * cosine(120)]
    expected = math.log(sum(map(math.exp, logits))) - logits[0]
    assert value(loss, 10) == pytest.approx(expected, abs=1e-5)
    logits = [4 * cosine(10 - 20 + 20 - 20 + 20), 4 * cosine(40), 4 * cosine(100), 4 * cosine(120)]
    torch.testing.assert_close(loss(on_circle(10), torch.tensor([0])).logits, torch.tensor([logits]))  # it has none


def test_the_own_speaker_is_never_among_the_confused_even_if_nearest() -> None:
    loss = made(0, 90, num_speakers=2, k_top=1, penalty=20 * DEGREE)
    assert value(loss, 10) == pytest.approx(math.log(1 + math.exp(4 * (cosine(80 - 20) - cosine(10 + 30)))), abs=1e-5)


@pytest.mark.parametrize("num_speakers", [2, 3, 5])
def test_fewer_speakers_than_the_penalty_asks_for_are_all_confused(num_speakers: int) -> None:
    angles = [0.0, 60.0, 100.0, 150.0, 200.0][:num_speakers]
    all_of_them = made(*angles, num_speakers=num_speakers, k_top=num_speakers - 1, penalty=0.3)
    more = made(*angles, num_speakers=num_speakers, k_top=5, penalty=0.3)
    assert value(more, 20) == value(all_of_them, 20) > value(made(*angles, num_speakers=num_speakers), 20)


@pytest.mark.parametrize("off", [{"penalty": 0.0}, {"k_top": 0, "penalty": 0.3}])
def test_one_centre_without_penalty_is_the_angular_margin(off: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = AdditiveAngularMargin(6, 5, margin=0.3, scale=30.0)
    loss = SubcenterAngularMargin(6, 5, margin=0.3, scale=30.0, num_centers=1, **({"k_top": 3} | off))
    loss.load_state_dict(plain.state_dict())
    rows, labels = torch.randn(7, 6), torch.randint(5, (7,))
    assert torch.equal(loss(rows, labels).loss, plain(rows, labels).loss)


def test_the_penalty_follows_the_margin() -> None:
    loss = made(0, 50, num_speakers=2, penalty=20 * DEGREE)
    loss.margin = 15 * DEGREE  # half of what it was given
    assert value(loss, 10) == pytest.approx(math.log(1 + math.exp(4 * (cosine(40 - 10) - cosine(10 + 15)))), abs=1e-5)
    loss.margin = 0.0
    assert value(loss, 10) == pytest.approx(math.log(1 + math.exp(4 * (cosine(40) - cosine(10)))), abs=1e-5)


def test_a_penalised_cosine_rises_all_the_way_and_never_jumps() -> None:
    cosines = torch.linspace(-1.0, 1.0, 20001, dtype=torch.float64)
    moved = with_penalty(cosines, 0.06)
    assert bool((moved.diff() > 0).all())
    assert moved.diff()[1:-1].max() < 0.02
    inner = cosines[(cosines.acos() > 0.07) & (cosines.acos() < 3.0)]
    torch.testing.assert_close(with_penalty(inner, 0.06), (inner.acos() - 0.06).cos())


@pytest.mark.parametrize("changes", [{"num_centers": 0}, {"k_top": -1}])
def test_counts_out_of_range_are_refused(changes: dict[str, int]) -> None:
    options: dict[str, Any] = {"margin": 0.2, "scale": 30.0, "num_centers": 3, "k_top": 5, "penalty": 0.06} | changes
    with pytest.raises(ConfigError, match=r"loss\.num_centers=.* must be 1 or more, loss\.k_top=.* 0 or more"):
        SubcenterAngularMargin(6, 5, **options)
