"""Plain classification."""

import math

import pytest
import torch

from speaker_id.contracts import HasMargin
from speaker_id.errors import ConfigError
from speaker_id.loss.softmax import Softmax


def test_cross_entropy_of_a_linear_layer_by_hand() -> None:
    loss = Softmax(2, 2)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        loss.classifier.bias.copy_(torch.tensor([0.0, -1.0]))
    result = loss(torch.tensor([[3.0, 1.0]]), torch.tensor([0]))  # logits 3 and 2 - 1
    assert result.logits.tolist() == [[3.0, 1.0]]
    assert result.loss.item() == pytest.approx(math.log(1 + math.exp(1 - 3)))


def test_the_loss_is_a_mean_over_the_batch() -> None:
    torch.manual_seed(0)
    loss = Softmax(4, 3)
    embeddings, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    alone = torch.stack([loss(embeddings[i : i + 1], labels[i : i + 1]).loss for i in range(5)])
    torch.testing.assert_close(loss(embeddings, labels).loss, alone.mean())


def test_it_has_no_margin_for_a_schedule_to_move() -> None:
    assert not isinstance(Softmax(4, 3), HasMargin)


def test_under_autocast_logits_and_loss_are_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        result = Softmax(4, 3)(torch.randn(2, 4), torch.tensor([0, 1]))
    assert result.logits.dtype == result.loss.dtype == torch.float32


def test_label_smoothing_by_hand() -> None:
    loss = Softmax(2, 2, label_smoothing=0.2)
    with torch.no_grad():
        loss.classifier.weight.copy_(torch.eye(2))
        loss.classifier.bias.zero_()
    value = loss(torch.tensor([[3.0, 1.0]]), torch.tensor([0])).loss  # 0.9 of the target, 0.1 of the other
    expected = 0.9 * math.log(1 + math.exp(-2)) + 0.1 * math.log(1 + math.exp(2))
    assert value.item() == pytest.approx(expected)


def test_a_label_smoothing_that_is_no_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.label_smoothing=1\.5 must be a part of the target"):
        Softmax(4, 3, label_smoothing=1.5)
