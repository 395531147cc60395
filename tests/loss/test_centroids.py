"""GE2E and the angular prototypical loss, against slow obvious loops, and what their logits show."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from speaker_id.loss.centroids import GE2E, AngularPrototypical

Rows = NDArray[np.float64]


def unit(row: Rows) -> Rows:
    return row / np.linalg.norm(row)


def choose(similarities: dict[int, float], right: int, scale: float, bias: float = -5.0) -> float:
    """-log softmax of the right one; the bias is the paper's, which makes no difference."""
    total = sum(math.exp(scale * value + bias) for value in similarities.values())
    return math.log(total) - (scale * similarities[right] + bias)


def slow_ge2e(rows: Rows, labels: list[int], scale: float) -> float:
    rows, losses = np.array([unit(row) for row in rows]), []
    for i, label in enumerate(labels):
        similarities = {}
        for speaker in set(labels):
            members = [rows[j] for j in range(len(labels)) if labels[j] == speaker and j != i]
            similarities[speaker] = float(rows[i] @ unit(np.mean(members, axis=0)))
        losses.append(choose(similarities, label, scale))
    return float(np.mean(losses))


def slow_prototypical(rows: Rows, labels: list[int], scale: float) -> float:
    members = {
        speaker: [row for row, label in zip(rows, labels, strict=True) if label == speaker] for speaker in labels
    }
    prototypes = {speaker: np.mean(own[:-1], axis=0) for speaker, own in members.items()}
    losses = []
    for speaker, own in members.items():
        similarities = {other: float(unit(own[-1]) @ unit(centre)) for other, centre in prototypes.items()}
        losses.append(choose(similarities, speaker, scale))
    return float(np.mean(losses))


KINDS = {"ge2e": (GE2E, slow_ge2e), "angular_prototypical": (AngularPrototypical, slow_prototypical)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [[4, 4, 1, 1], [0, 2, 4, 0, 2, 4, 0, 2, 4], [3, 1, 3, 1, 1, 3, 3, 0, 0]])
@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_loss_is_that_of_a_slow_loop(kind: str, labels: list[int], scale: float) -> None:
    rows = np.random.default_rng(len(labels)).normal(size=(len(labels), 4))
    loss, slow = KINDS[kind]
    value = loss(4, 5, scale=scale)(torch.from_numpy(rows), torch.tensor(labels)).loss.detach()
    assert float(value) == pytest.approx(slow(rows, labels, scale), rel=1e-9)


def on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_ge2e_by_hand() -> None:
    """Speakers at 0 and 20, at 90 and 110 degrees: centroids at 10 and 100, the own one being the other utterance."""
    result = GE2E(2, 2, scale=2.0)(on_circle(0, 20, 90, 110), torch.tensor([0, 0, 1, 1]))
    own = math.cos(math.radians(20))
    other = [math.cos(math.radians(angle)) for angle in (100, 80, 80, 100)]
    expected = np.mean([math.log(1 + math.exp(2 * cosine - 2 * own)) for cosine in other])
    assert float(result.loss.detach()) == pytest.approx(float(expected), abs=1e-6)
    torch.testing.assert_close(result.logits[0], 2 * torch.tensor([own, other[0]]))


def test_the_angular_prototypical_loss_by_hand() -> None:
    """Prototypes at 10 (of 0 and 20) and at 90; queries at 30 and 60 degrees, the last of each speaker."""
    result = AngularPrototypical(2, 2, scale=2.0)(on_circle(0, 90, 20, 30, 60), torch.tensor([0, 1, 0, 0, 1]))
    cosine = {angle: math.cos(math.radians(angle)) for angle in (20, 60, 50, 30)}
    first = math.log(1 + math.exp(2 * cosine[60] - 2 * cosine[20]))
    second = math.log(1 + math.exp(2 * cosine[50] - 2 * cosine[30]))
    assert float(result.loss.detach()) == pytest.approx((first + second) / 2, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_lie_in_the_speakers_columns_and_below_every_real_one_for_absent_speakers(kind: str) -> None:
    rows, labels = on_circle(0, 10, 180, 190, 90, 100), torch.tensor([5, 5, 1, 1, 2, 2])
    logits = KINDS[kind][0](2, 7, scale=10.0)(rows, labels).logits.detach()
    present, absent = logits[:, [1, 2, 5]], logits[:, [0, 3, 4, 6]]
    assert bool((logits.argmax(dim=1) == labels).all())
    assert bool((absent == -20.0).all())
    assert present.min() == pytest.approx(-10.0, abs=0.2)  # speakers 5 and 1 are opposite


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_compared_with_itself(kind: str) -> None:
    """A speaker's two utterances are opposite: both rows are wrong, which a centroid with them in it would hide."""
    rows, labels = on_circle(0, 180, 80, 100), torch.tensor([0, 0, 1, 1])
    logits = KINDS[kind][0](2, 2, scale=10.0)(rows, labels).logits.detach()
    assert (logits.argmax(dim=1) == labels).tolist() == [False, False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_is_learnt_and_stays_positive(kind: str) -> None:
    loss = KINDS[kind][0](2, 2, scale=10.0)
    rows, labels = on_circle(0, 20, 90, 110), torch.tensor([0, 0, 1, 1])
    loss(rows, labels).loss.backward()
    assert {name: parameter.item() for name, parameter in loss.named_parameters()} == {"scale": 10.0}
    assert loss.scale.grad is not None
    assert loss.scale.grad < 0  # all are right already: a larger scale is better
    with torch.no_grad():
        loss.scale.fill_(-3.0)
    result = loss(rows, labels)
    assert float(result.loss.detach()) == pytest.approx(math.log(2), abs=1e-5)
    assert bool((result.logits.argmax(dim=1) == labels).all())
