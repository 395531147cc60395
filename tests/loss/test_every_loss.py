"""Every leaf of conf/loss: what the contract promises, at the numbers the leaf says."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from leaves import composed, leaves
from speaker_id import build
from speaker_id.contracts import ComparesUtterances, HasMargin, LossOutput
from speaker_id.errors import TrainingError

LOSSES = leaves("loss")
E, K = 6, 5
LABELS = torch.tensor([3, 0, 3, 1, 0, 1, 1, 3])  # speakers 2 and 4 are absent
# The weights of its terms are constants to the gradient: see test_circle.py.
DIFFERENTIABLE = [leaf for leaf in LOSSES if leaf != "circle"]


def made(leaf: str, in_dim: int = E, num_speakers: int = K, **changes: Any) -> Any:
    torch.manual_seed(0)
    loss = build.instantiate({**build.plain(composed(f"loss={leaf}").loss), **changes}, in_dim, num_speakers)
    assert isinstance(loss, nn.Module)
    return loss


def embeddings(num: int = len(LABELS), dim: int = E, seed: int = 1) -> Tensor:
    return torch.randn(num, dim, generator=torch.Generator().manual_seed(seed))


def gradients(loss: nn.Module, rows: Tensor, labels: Tensor) -> list[Tensor]:
    """Of the embeddings and of every parameter; finite, or the test fails."""
    rows = rows.clone().requires_grad_()
    result: LossOutput = loss(rows, labels)
    assert bool(result.loss.isfinite())
    assert bool(result.logits.isfinite().all())
    result.loss.backward()
    found = [tensor.grad for tensor in (rows, *loss.parameters())]
    for gradient in found:
        assert gradient is not None
        assert bool(gradient.isfinite().all())
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("leaf", LOSSES)
def test_a_loss_is_one_number_and_logits_of_every_speaker(leaf: str) -> None:
    result = made(leaf)(embeddings(), LABELS)
    assert isinstance(result, LossOutput)
    assert result.loss.shape == ()
    assert result.logits.shape == (8, K)
    assert result.loss > 0


@pytest.mark.parametrize("leaf", LOSSES)
def test_autocast_reaches_no_loss(leaf: str) -> None:
    loss = made(leaf)
    plain = loss(embeddings(), LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = loss(embeddings(), LABELS)
        half = loss(embeddings().bfloat16(), LABELS)
    assert torch.equal(mixed.loss, plain.loss)
    assert torch.equal(mixed.logits, plain.logits)
    assert half.loss.dtype == half.logits.dtype == torch.float32
    exact = loss(embeddings().bfloat16().float(), LABELS)  # nothing is lost beyond the rounding of what came in
    assert torch.equal(half.loss, exact.loss)


@pytest.mark.parametrize("leaf", DIFFERENTIABLE)
def test_the_gradient_is_the_slope(leaf: str) -> None:
    """In float64, which a loss leaves as it is; of the embeddings and of all parameters."""
    loss = made(leaf).double()
    names = [name for name, _ in loss.named_parameters()]
    inputs = [embeddings().double(), *(parameter.detach().clone() for parameter in loss.parameters())]

    def value(rows: Tensor, *parameters: Tensor) -> Tensor:
        result: LossOutput = functional_call(loss, dict(zip(names, parameters, strict=True)), (rows, LABELS))
        assert result.loss.dtype == result.logits.dtype == torch.float64
        return result.loss

    assert torch.autograd.gradcheck(value, [tensor.requires_grad_() for tensor in inputs], atol=1e-5)


@pytest.mark.parametrize("leaf", LOSSES)
@pytest.mark.parametrize("rows", ["the same", "zero", "opposite"])
def test_gradients_are_finite_for_degenerate_embeddings(leaf: str, rows: str) -> None:
    """Cosines of exactly 1, of -1, and those that do not exist."""
    one = torch.zeros(8, E)
    one[:, 0] = 3.0
    opposite = one * torch.where(LABELS == 1, -1.0, 1.0).unsqueeze(1)
    gradients(made(leaf), {"the same": one, "zero": 0 * one, "opposite": opposite}[rows], LABELS)


@pytest.mark.parametrize("leaf", LOSSES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_where_embeddings_lie_on_the_weights(leaf: str, sign: float) -> None:
    loss, axes = made(leaf, in_dim=4, num_speakers=4), torch.eye(4)
    with torch.no_grad():
        for parameter in loss.parameters():
            if parameter.ndim == 2:
                parameter.copy_(axes.repeat_interleave(len(parameter) // 4, dim=0))
    labels = torch.arange(8) % 4
    gradients(loss, sign * axes[labels], labels)


@pytest.mark.parametrize("leaf", LOSSES)
def test_the_order_of_the_batch_does_not_matter(leaf: str) -> None:
    # The prototypical query is the last utterance of its speaker, so each speaker's own order has to stay.
    order = LABELS.argsort(stable=True) if leaf == "angular_prototypical" else torch.arange(7, -1, -1)
    loss = made(leaf)
    straight, mixed = loss(embeddings(), LABELS), loss(embeddings()[order], LABELS[order])
    torch.testing.assert_close(mixed.loss, straight.loss)
    torch.testing.assert_close(mixed.logits, straight.logits[order])


@pytest.mark.parametrize("leaf", LOSSES)
def test_scaling_an_embedding_changes_no_loss_over_cosines(leaf: str) -> None:
    loss, longer = made(leaf), torch.linspace(0.5, 4.0, 8).unsqueeze(1)
    straight, scaled = loss(embeddings(), LABELS), loss(embeddings() * longer, LABELS)
    if leaf in {"softmax", "triplet_angular", "angular_prototypical"}:  # classifiers of lengths too; a mean of rows
        assert not torch.allclose(scaled.loss, straight.loss, rtol=1e-3)
    else:
        torch.testing.assert_close(scaled.loss, straight.loss, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("leaf", [leaf for leaf in LOSSES if isinstance(made(leaf), HasMargin)])
def test_a_schedule_moves_the_margin_and_the_logits_carry_none(leaf: str) -> None:
    loss = made(leaf)
    full = loss(embeddings(), LABELS)
    configured, loss.margin = loss.margin, 0.0
    none = loss(embeddings(), LABELS)
    assert none.loss < full.loss
    assert torch.equal(none.logits, full.logits)
    gradients(loss, embeddings(), LABELS)
    loss.margin = configured
    assert torch.equal(loss(embeddings(), LABELS).loss, full.loss)


@pytest.mark.parametrize("leaf", ["am", "aam", "subcenter_aam"])
def test_without_a_margin_it_is_softmax_over_scaled_cosines(leaf: str) -> None:
    for loss in (made(leaf, margin=0.0), made(leaf)):
        loss.margin = 0.0
        result = loss(embeddings(), LABELS)
        expected = -result.logits.log_softmax(dim=1)[torch.arange(8), LABELS].mean()
        torch.testing.assert_close(result.loss, expected)
        assert result.logits.abs().max() <= loss.scale


@pytest.mark.parametrize("leaf", ["softmax", "am", "aam", "subcenter_aam"])
def test_label_smoothing_is_torchs(leaf: str) -> None:
    smoothed = made(leaf, label_smoothing=0.1, **({} if leaf == "softmax" else {"margin": 0.0}))
    result = smoothed(embeddings(), LABELS)
    logs = result.logits.log_softmax(dim=1)
    expected = -(0.9 * logs[torch.arange(8), LABELS] + 0.1 * logs.mean(dim=1)).mean()
    torch.testing.assert_close(result.loss, expected)


@pytest.mark.parametrize("leaf", LOSSES)
def test_a_loss_needs_several_utterances_a_speaker_only_if_it_says_so(leaf: str) -> None:
    loss = made(leaf)
    distinct = torch.arange(K)
    if not isinstance(loss, ComparesUtterances):
        gradients(loss, embeddings(K), distinct)
        return
    assert loss.utterances_per_speaker == 2
    told = "1 utterance of speaker 0.* needs 2 or more of each: add data.sampling=balanced data.utterances_per_speaker"
    with pytest.raises(TrainingError, match=told):
        loss(embeddings(K), distinct)
    with pytest.raises(TrainingError, match=r"one speaker alone, .* raise data\.batch_size"):
        loss(embeddings(K), torch.full((K,), 2))


def test_the_losses_that_say_so_are_these() -> None:
    assert {leaf for leaf in LOSSES if isinstance(made(leaf), ComparesUtterances)} == {
        "angular_prototypical",
        "ge2e",
        "triplet_angular",
    }


@pytest.mark.parametrize("leaf", LOSSES)
def test_training_on_separable_speakers_makes_all_of_them_right(leaf: str) -> None:
    """Rows of five speakers around directions of their own, learnt through a linear layer: accuracy reaches 1."""
    loss, layer = made(leaf), nn.Linear(E, E)
    labels = torch.arange(20) % K
    rows = 0.1 * embeddings(20) + torch.eye(K, E)[labels]
    optimizer = torch.optim.Adam([*layer.parameters(), *loss.parameters()], lr=0.02)
    first = loss(layer(rows), labels).loss.detach()
    for _ in range(100):
        result = loss(layer(rows), labels)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert result.loss < first
    assert bool((result.logits.argmax(dim=1) == labels).all())
