"""Batch-hard triplets, by hand on the unit circle and against a slow loop."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from speaker_id.loss.triplet import TripletAngularMargin, hardest_cosines


def made(in_dim: int = 2, num_speakers: int = 4, **changes: Any) -> TripletAngularMargin:
    """A classifier that knows nothing: log(K)."""
    options = {"margin": 0.5, "positive_cosine": 0.8, "negative_cosine": 0.4, "absolute_weight": 1.0} | changes
    loss = TripletAngularMargin(in_dim, num_speakers, **options)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.zero_()
    return loss


def test_the_whole_loss_by_hand() -> None:
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]) * math.pi / 180
    rows, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 2, 2])
    # to the farthest of one's own 60, 60, 90, 90 degrees; to the nearest other 90, 30, 30, 120
    near = math.cos(math.pi / 6)
    ranking = (0.0 - 0.5 + 0.5) + (near - 0.5 + 0.5) + (near - 0.0 + 0.5) + 0.0
    far, close = (0.3 + 0.3 + 0.8 + 0.8), (near - 0.4) * 2
    result = made()(rows, labels)
    assert float(result.loss.detach()) == pytest.approx(ranking / 4 + far / 4 + close / 4 + math.log(4), abs=1e-5)
    without = made(absolute_weight=0.0)(rows, labels)
    assert float(without.loss.detach()) == pytest.approx(ranking / 4 + math.log(4), abs=1e-5)


def test_speakers_far_enough_apart_add_nothing() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.0], [-1.0, 0.01]])
    value = made()(rows, torch.tensor([0, 0, 1, 1])).loss.detach()
    assert float(value) == pytest.approx(math.log(4), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_hardest_pairs_are_those_of_a_slow_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(11, 3)), np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 4, 4])
    positive, negative = hardest_cosines(torch.from_numpy(rows), torch.from_numpy(labels))
    for i, row in enumerate(rows):
        to = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in rows]
        assert float(positive[i]) == pytest.approx(min(to[j] for j in range(11) if labels[j] == labels[i] and j != i))
        assert float(negative[i]) == pytest.approx(max(to[j] for j in range(11) if labels[j] != labels[i]))


def test_the_logits_are_the_classifiers() -> None:
    torch.manual_seed(0)
    loss = TripletAngularMargin(
        6, 5, margin=0.5, positive_cosine=0.8, negative_cosine=0.4, absolute_weight=1.0, label_smoothing=0.1
    )
    rows, labels = torch.randn(4, 6), torch.tensor([0, 3, 0, 3])
    torch.testing.assert_close(loss(rows, labels).logits, loss.softmax.classifier(rows))
    assert loss.softmax.label_smoothing == 0.1
