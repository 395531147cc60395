"""Circle loss: by hand, and the paper's gradient, in which the weights of the terms are constants."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from speaker_id.contracts import HasMargin
from speaker_id.loss.circle import Circle


def test_circle_loss_by_hand() -> None:
    # cosines 0.6 and 0.8, target first, m = 0.25: 0.65 * (0.6 - 0.75) and 1.05 * (0.8 - 0.25), twice
    loss = Circle(2, 2, margin=0.25, scale=2.0)
    with torch.no_grad():
        loss.head.weight.copy_(torch.eye(2))
    result = loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))
    assert float(result.loss.detach()) == pytest.approx(math.log(1 + math.exp(1.155 + 0.195)), abs=1e-6)
    torch.testing.assert_close(result.logits, torch.tensor([[1.2, 1.6]]))


def test_a_speaker_on_the_other_side_is_left_alone() -> None:
    """a_n is 0 from cos = -m on; the margin is 0.25 and the third cosine -0.6."""
    loss = Circle(2, 3, margin=0.25, scale=8.0)
    with torch.no_grad():
        loss.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    loss(torch.tensor([[0.6, 0.8]]), torch.tensor([0])).loss.backward()
    assert loss.head.weight.grad is not None
    assert loss.head.weight.grad[1].any()
    assert not loss.head.weight.grad[2].any()


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_the_papers(seed: int) -> None:
    """By the cosines, of each row: s a_n p for the others and -s a_p (1 - p) for the target, p being softmax."""
    rng = torch.Generator().manual_seed(seed)
    loss = Circle(6, 4, margin=0.25, scale=8.0)
    rows, labels = torch.randn(5, 6, generator=rng), torch.tensor([0, 3, 1, 1, 2])
    seen = {}
    loss.head.register_forward_hook(lambda _module, _args, cosines: seen.update(cosines=cosines))
    loss(rows, labels).loss.backward(inputs=list(loss.parameters()), retain_graph=True)
    cosines = seen["cosines"].detach().double().numpy()
    target = functional.one_hot(labels, 4).bool().numpy()
    pull = np.where(target, np.maximum(0, 1.25 - cosines), np.maximum(0, cosines + 0.25))
    logits = 8 * pull * (cosines - np.where(target, 0.75, 0.25))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = 8 * pull * (share - target) / 5
    (found,) = torch.autograd.grad(loss(rows, labels).loss, [seen["cosines"]])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_a_greater_margin_makes_it_easier_so_that_no_schedule_may_begin_it_at_none() -> None:
    torch.manual_seed(0)
    rows, labels = torch.randn(5, 6), torch.tensor([0, 3, 1, 1, 2])
    strict, relaxed = Circle(6, 4, margin=0.0, scale=64.0), Circle(6, 4, margin=0.25, scale=64.0)
    axes = torch.eye(4, 6)
    for loss in (strict, relaxed):
        with torch.no_grad():
            loss.head.weight.copy_(axes)
    near = axes[labels] + 0.05 * rows
    assert relaxed(near, labels).loss < strict(near, labels).loss
    assert not isinstance(relaxed, HasMargin)
