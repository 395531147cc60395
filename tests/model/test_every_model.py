"""Every leaf of conf/model with every pooling and every loss, at the tiny size tests/model/tiny.py gives it."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from leaves import composed, leaves
from model.tiny import TINY
from speaker_id import build
from speaker_id.contracts import LossOutput
from speaker_id.model.embedding import EmbeddingModel

NUM_BINS = 24
NUM_SPEAKERS = 4
MODEL_AND_POOLING = [(model, pooling) for model in leaves("model") for pooling in leaves("pooling")]
COMBINATIONS = [(*pair, loss) for pair in MODEL_AND_POOLING for loss in leaves("loss")]


@cache
def untrained(model: str, pooling: str) -> EmbeddingModel:
    """Random weights, but normalisations that know their input: else every embedding were nearly the biases."""
    if model not in TINY:
        pytest.fail(f"conf/model/{model}.yaml has no tiny size: add it to TINY in tests/model/tiny.py")
    config = composed(f"model={model}", f"pooling={pooling}", *TINY[model])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build.embedding_model(config.model, config.pooling, NUM_BINS)
        with torch.no_grad():
            for seed in range(30):
                network(features(8, seed=seed))
    return network.eval()


def fresh(model: str, pooling: str, loss: str) -> tuple[EmbeddingModel, nn.Module]:
    network = copy.deepcopy(untrained(model, pooling))
    torch.manual_seed(0)
    return network, build.instantiate(composed(f"loss={loss}").loss, network.out_dim, NUM_SPEAKERS)


def features(num: int, num_frames: int = 60, seed: int = 0) -> Tensor:
    """(B, F, T), each its own mixture of patterns: what an untrained network can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    tilt = torch.randn(num, NUM_BINS, 1, generator=generator)
    return tilt * torch.randn(1, 1, num_frames, generator=generator) + torch.randn(
        num, NUM_BINS, num_frames, generator=generator
    )


def test_every_backbone_has_a_tiny_size() -> None:
    assert set(TINY) == set(leaves("model")), "tests/model/tiny.py must name every leaf of conf/model, and no other"


@pytest.mark.parametrize("leaf", leaves("model"))
def test_a_full_size_model_is_what_its_leaf_says(leaf: str) -> None:
    config = composed(f"model={leaf}")
    with torch.device("meta"):
        backbone: Any = build.instantiate(config.model.backbone, 80)
        pooling: Any = build.instantiate(config.pooling, backbone.out_dim)
        projection: Any = build.instantiate(config.model.projection, pooling.out_dim)
    assert projection.out_dim == config.model.projection.dim
    assert 1e5 < sum(p.numel() for part in (backbone, pooling, projection) for p in part.parameters()) < 1e8


@pytest.mark.parametrize(("model", "pooling"), MODEL_AND_POOLING)
def test_every_stage_gives_the_size_it_announces(model: str, pooling: str) -> None:
    network: Any = untrained(model, pooling)
    for num_frames in (48, 61):  # half a second
        frames = network.backbone(features(3, num_frames))
        assert frames.shape[:2] == (3, network.backbone.out_dim)
        assert frames.shape[2] >= 1
        pooled = network.pooling(frames)
        assert pooled.shape == (3, network.pooling.out_dim)
        assert network.projection(pooled).shape == (3, network.out_dim)


@pytest.mark.parametrize(("model", "pooling"), MODEL_AND_POOLING)
def test_an_embedding_does_not_depend_on_its_batch_mates(model: str, pooling: str) -> None:
    network = untrained(model, pooling)
    with torch.no_grad():
        together = network(features(4))
        alone = torch.cat([network(features(4)[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("model", "pooling"), MODEL_AND_POOLING)
def test_different_features_have_different_embeddings(model: str, pooling: str) -> None:
    with torch.no_grad():
        embeddings = untrained(model, pooling)(features(4))
    assert torch.pdist(embeddings).min() > 0.05 * embeddings.norm(dim=-1).mean()


@pytest.mark.parametrize(("model", "pooling"), MODEL_AND_POOLING)
def test_bfloat16_points_where_float32_does(model: str, pooling: str) -> None:
    """Cosine above 0.99; an order of magnitude more than bfloat16's 2^-8 would leave."""
    network = untrained(model, pooling)
    with torch.no_grad():
        full = network(features(4))
        with torch.autocast("cpu", torch.bfloat16):
            half = network(features(4))
    assert functional.cosine_similarity(full, half.float()).min() > 0.99


@pytest.mark.parametrize(("model", "pooling", "loss"), COMBINATIONS)
def test_silence_trains_without_nan(model: str, pooling: str, loss: str) -> None:
    network, head = fresh(model, pooling, loss)
    result: LossOutput = head(network.train()(torch.zeros(3, NUM_BINS, 50)), torch.tensor([0, 1, 2]))
    result.loss.backward()
    assert bool(result.loss.isfinite())
    assert bool(result.logits.isfinite().all())
    for parameter in [*network.parameters(), *head.parameters()]:
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize(("model", "pooling", "loss"), COMBINATIONS)
def test_one_step_of_adam_lowers_the_loss_and_moves_every_parameter(model: str, pooling: str, loss: str) -> None:
    network, head = fresh(model, pooling, loss)
    network.train()
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    batch, labels = features(8), torch.arange(8) % NUM_SPEAKERS
    before = head(network(batch), labels)
    assert before.loss.ndim == 0
    assert before.logits.shape == (8, NUM_SPEAKERS)
    before.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    optimizer.step()
    assert head(network(batch), labels).loss < before.loss
