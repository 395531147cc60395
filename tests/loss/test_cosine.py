"""Margin losses: hand-worked values, an independent formula, the poles, and that the target falls all the way."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import HasMargin
from speaker_id.errors import ConfigError
from speaker_id.loss.cosine import AdditiveAngularMargin, AdditiveMargin, CosineHead, RealAdditiveMargin

Margin = AdditiveMargin | AdditiveAngularMargin
KINDS: dict[str, Callable[..., Margin]] = {
    "am": AdditiveMargin,
    "aam": AdditiveAngularMargin,
    "aam easy": lambda *sizes, **options: AdditiveAngularMargin(*sizes, easy_margin=True, **options),
}


def with_weights(loss: Margin, weights: Tensor) -> Margin:
    with torch.no_grad():
        loss.head.weight.copy_(weights)
    return loss


def at_angle(theta: Tensor, kind: str, *, margin: float = 0.2, scale: float = 1.0) -> Tensor:
    """Target values phi(theta) as the loss shows them: (M,) -> (M,).

    The embedding turns in the plane of its own speaker; the other speaker stands at a right angle to that plane, so
    the loss is log(1 + exp(-s phi)).
    """
    loss = with_weights(KINDS[kind](3, 2, margin=margin, scale=scale), torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]))
    embeddings = torch.stack([theta.cos(), theta.sin(), torch.zeros_like(theta)], dim=1)
    values = [loss(row.unsqueeze(0), torch.tensor([0])).loss.double() for row in embeddings]
    return -torch.stack(values).expm1().log() / scale


def test_cosines_are_those_of_the_angles_whatever_the_lengths() -> None:
    head = CosineHead(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.1], [-3.0, -3.0]]))
    expected = torch.tensor([[0.6, 0.8, -1.4 / 2**0.5]])
    torch.testing.assert_close(head(torch.tensor([[30.0, 40.0]])), expected)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1000))
def test_without_a_margin_it_is_cross_entropy_over_scaled_cosines(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    loss = KINDS[kind](6, 5, margin=0.0, scale=10.0)
    embeddings, labels = torch.randn(7, 6), torch.randint(5, (7,))
    cosines = functional.cosine_similarity(embeddings.unsqueeze(1), loss.head.weight.unsqueeze(0), dim=-1)
    expected = -(10 * cosines).log_softmax(dim=-1)[torch.arange(7), labels].mean()
    torch.testing.assert_close(loss(embeddings, labels).loss, expected, atol=1e-4, rtol=1e-4)


def test_additive_margin_by_hand() -> None:
    # cosines 0.6 and 0.8, target first: logits 10 (0.6 - 0.2) = 4 and 8
    loss = with_weights(AdditiveMargin(2, 2, margin=0.2, scale=10.0), torch.eye(2))
    value = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0])).loss
    assert value.item() == pytest.approx(math.log(1 + math.exp(8 - 4)), abs=1e-5)


def test_additive_angular_margin_by_hand() -> None:
    # angles 60 and 30 degrees, target first, margin 30 degrees: logits 4 cos 90 = 0 and 4 cos 30
    loss = with_weights(AdditiveAngularMargin(2, 2, margin=math.pi / 6, scale=4.0), torch.eye(2))
    value = loss(torch.tensor([[0.5, 0.75**0.5]]), torch.tensor([0])).loss
    assert value.item() == pytest.approx(math.log(1 + math.exp(4 * math.cos(math.pi / 6))), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_carry_no_margin(kind: str) -> None:
    torch.manual_seed(0)
    loss = KINDS[kind](6, 5, margin=0.4, scale=30.0)
    embeddings = torch.randn(7, 6)
    for label in range(5):
        logits = loss(embeddings, torch.full((7,), label)).logits
        torch.testing.assert_close(logits, 30 * loss.head(embeddings))


@pytest.mark.parametrize("kind", ["am", "aam"])
def test_a_margin_only_makes_it_harder(kind: str) -> None:
    angles = torch.linspace(0.01, math.pi - 0.01, 100)
    assert bool((at_angle(angles, kind, margin=0.3) < angles.cos().double() - 1e-3).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.1, 0.2, 0.5, 1.0])
def test_the_target_falls_all_the_way_as_the_angle_grows(kind: str, margin: float) -> None:
    """Also where theta + m passes pi: there the cosine itself would turn back up."""
    angles = torch.linspace(0.02, math.pi - 0.02, 300)
    values = at_angle(angles, kind, margin=margin)
    if kind == "aam easy":  # the margin ends at a right angle, and with it the target rises once, by design
        values = torch.cat([values[angles < math.pi / 2], values[angles > math.pi / 2] - 10])
    assert bool((values.diff() < 0).all())


def test_the_angular_target_is_cos_of_theta_plus_m_then_a_straight_line() -> None:
    margin = 0.5
    before = torch.linspace(0.05, math.pi - margin - 0.01, 50)
    after = torch.linspace(math.pi - margin + 0.01, math.pi - 0.05, 20)
    expected = torch.cat([(before + margin).cos(), after.cos() - margin * math.sin(margin)]).double()
    torch.testing.assert_close(at_angle(torch.cat([before, after]), "aam", margin=margin), expected, atol=1e-4, rtol=0)


def test_an_easy_margin_moves_only_angles_below_a_right_angle() -> None:
    angles = torch.tensor([0.3, 1.2, 1.7, 3.0])
    expected = torch.tensor([0.3 + 0.2, 1.2 + 0.2, 1.7, 3.0]).cos().double()
    torch.testing.assert_close(at_angle(angles, "aam easy"), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_loss_and_gradient_are_finite_at_the_poles(kind: str, sign: float) -> None:
    weights = torch.eye(4)
    loss = with_weights(KINDS[kind](4, 4, margin=0.2, scale=30.0), weights)
    embeddings = (sign * weights).requires_grad_()  # cosine is exactly 1 or -1
    result = loss(embeddings, torch.arange(4))
    assert (result.logits.diagonal() == sign * 30).all()
    result.loss.backward()
    assert result.loss.isfinite()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert loss.head.weight.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_zero_embedding_has_a_finite_gradient(kind: str) -> None:
    embeddings = torch.zeros(2, 4, requires_grad=True)
    KINDS[kind](4, 3, margin=0.2, scale=30.0)(embeddings, torch.tensor([0, 1])).loss.backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


def naive_loss(
    kind: str, embeddings: NDArray[np.float64], weights: NDArray[np.float64], labels: list[int], margin: float
) -> float:
    """The papers' formulas with arccos, row by row in float64."""
    total = 0.0
    for row, label in zip(embeddings, labels, strict=True):
        cosines = weights @ row / np.linalg.norm(weights, axis=1) / np.linalg.norm(row)
        theta = math.acos(cosines[label])
        target = {
            "am": cosines[label] - margin,
            "aam": math.cos(theta + margin) if theta + margin < math.pi else cosines[label] - margin * math.sin(margin),
            "aam easy": math.cos(theta + margin) if theta < math.pi / 2 else cosines[label],
        }[kind]
        logits = 8 * cosines
        logits[label] = 8 * target
        total += math.log(np.exp(logits).sum()) - logits[label]
    return total / len(labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_equal_the_naive_formula(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings, weights, labels = rng.normal(size=(4, 5)), rng.normal(size=(3, 5)), [0, 1, 2, 1]
    loss = with_weights(KINDS[kind](5, 3, margin=0.3, scale=8.0), torch.from_numpy(weights))
    inputs = torch.from_numpy(embeddings).float().requires_grad_()
    value = loss(inputs, torch.tensor(labels)).loss
    value.backward()
    assert value.item() == pytest.approx(naive_loss(kind, embeddings, weights, labels, 0.3), rel=1e-4)
    slope = np.zeros_like(embeddings)
    for index in np.ndindex(*embeddings.shape):
        step = np.zeros_like(embeddings)
        step[index] = 1e-6
        up, down = (naive_loss(kind, embeddings + sign * step, weights, labels, 0.3) for sign in (1, -1))
        slope[index] = (up - down) / 2e-6
    assert inputs.grad is not None
    np.testing.assert_allclose(inputs.grad.numpy(), slope, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_does_not_reach_the_cosines(kind: str) -> None:
    torch.manual_seed(0)
    loss = KINDS[kind](6, 5, margin=0.2, scale=30.0)
    embeddings, labels = torch.randn(7, 6), torch.randint(5, (7,))
    plain = loss(embeddings, labels)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(embeddings, labels)
        half = loss(embeddings.bfloat16(), labels)
    assert torch.equal(mixed.loss, plain.loss)
    assert torch.equal(mixed.logits, plain.logits)
    assert half.logits.dtype == half.loss.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_may_move_the_margin(kind: str) -> None:
    torch.manual_seed(0)
    loss = KINDS[kind](6, 5, margin=0.0, scale=10.0)
    assert isinstance(loss, HasMargin)
    embeddings, labels = torch.randn(7, 6), torch.randint(5, (7,))
    loss.margin = 0.3
    fresh = with_weights(KINDS[kind](6, 5, margin=0.3, scale=10.0), loss.head.weight)
    assert torch.equal(loss(embeddings, labels).loss, fresh(embeddings, labels).loss)


def test_the_only_parameters_are_one_vector_a_speaker() -> None:
    for kind in KINDS.values():
        shapes = {name: tuple(p.shape) for name, p in kind(6, 5, margin=0.2, scale=30.0).named_parameters()}
        assert shapes == {"head.weight": (5, 6)}
        assert isinstance(kind(6, 5, margin=0.2, scale=30.0), nn.Module)


def real(embeddings: Tensor, weights: Tensor, labels: list[int], *, margin: float, scale: float) -> float:
    loss = RealAdditiveMargin(*reversed(weights.shape), margin=margin, scale=scale)
    with torch.no_grad():
        loss.head.weight.copy_(weights)
    return float(loss(embeddings, torch.tensor(labels)).loss.detach())


def test_real_additive_margin_by_hand() -> None:
    # cosines 0.6, 0.8 and 0, target first: the second lacks 0.8 - 0.6 + 0.2, the third is more than 0.2 away
    value = real(torch.tensor([[0.6, 0.8, 0.0]]), torch.eye(3), [0], margin=0.2, scale=10.0)
    assert value == pytest.approx(math.log(1 + math.exp(4) + math.exp(0)), abs=1e-5)


def test_real_additive_margin_is_additive_margin_while_nobody_is_separated() -> None:
    weights, row = torch.eye(3), torch.tensor([[0.5, 0.5, 0.5**0.5]])
    plain = AdditiveMargin(3, 3, margin=0.2, scale=10.0)
    expected = with_weights(plain, weights)(row, torch.tensor([0])).loss
    assert real(row, weights, [0], margin=0.2, scale=10.0) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_a_speaker_who_is_a_margin_away_pulls_no_more() -> None:
    loss = RealAdditiveMargin(3, 3, margin=0.2, scale=30.0)
    with_weights(loss, torch.eye(3))  # type: ignore[arg-type]
    row = torch.tensor([[0.9, 0.2, 0.1]], requires_grad=True)
    result = loss(row, torch.tensor([0]))
    result.loss.backward()
    assert float(result.loss.detach()) == pytest.approx(math.log(3))
    assert row.grad is not None
    assert not row.grad.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_a_label_smoothing_that_is_no_part_is_refused(kind: str, smoothing: float) -> None:
    with pytest.raises(ConfigError, match=r"loss\.label_smoothing=.* 0 \(off\) or more, below 1"):
        KINDS[kind](6, 5, margin=0.2, scale=30.0, label_smoothing=smoothing)


@pytest.mark.parametrize("kind", KINDS)
def test_label_smoothing_works_on_the_logits_that_the_margin_moved(kind: str) -> None:
    """By hand for cosines 0 (target) and 1: with logits a and b the loss is 0.9 log-loss of a + 0.1 their mean."""
    loss = with_weights(KINDS[kind](2, 2, margin=0.5, scale=2.0, label_smoothing=0.2), torch.eye(2))
    target = {"am": -0.5, "aam": -math.sin(0.5), "aam easy": 0.0}[kind]
    losses = [math.log(1 + math.exp(2 * 1 - 2 * target)), math.log(1 + math.exp(2 * target - 2 * 1))]
    value = loss(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).loss.detach()
    assert float(value) == pytest.approx(0.9 * losses[0] + 0.1 * losses[1], abs=1e-3)
