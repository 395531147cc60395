"""Every leaf of conf/model with every pooling and every loss, at the tiny size its class names.

`make test` takes a random sixth of the models' pairs with poolings, another each day, each with every loss;
`make test-all` takes all of them.
"""

import copy
import shutil
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from drawn import one_in, one_in_with_every_value
from leaves import alone, composed, leaves
from speaker_id import build
from speaker_id.contracts import LossOutput
from speaker_id.errors import TooShort
from speaker_id.model.embedding import EmbeddingModel

NUM_BINS = 24
NUM_SPEAKERS = 4


def tiny(model: str) -> dict[str, Any]:
    """The `model` group of a leaf, at its backbone's tiny size."""
    leaf = build.plain(alone("model", model))
    hidden = [12 for _ in leaf["projection"].get("hidden_dims", [])]
    return {
        "backbone": {**leaf["backbone"], **build.target_class(leaf["backbone"]).TINY},
        "projection": {**leaf["projection"], "dim": 12, "hidden_dims": hidden},
    }


LEAVES = leaves("model")
MODELS = sorted({repr(tiny(leaf)): leaf for leaf in reversed(LEAVES)}.values())  # sizes of one network are one here
MODEL_AND_POOLING = one_in_with_every_value(6, list(product(MODELS, leaves("pooling"))))
COMBINATIONS = [(model, pooling, loss) for model, pooling in MODEL_AND_POOLING for loss in leaves("loss")]


@cache
def untrained(model: str, pooling: str | None = None) -> EmbeddingModel:
    """Random weights, but normalisations that know their input: else every embedding were nearly the biases."""
    config = composed(f"model={model}", *([] if pooling is None else [f"pooling={pooling}"]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build.embedding_model(tiny(model), config.pooling, NUM_BINS)
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


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_full_size_model_is_what_its_leaf_says(leaf: str) -> None:
    config = composed(f"model={leaf}")
    assert config.model == alone("model", leaf)
    with torch.device("meta"):
        backbone: Any = build.instantiate(config.model.backbone, 80)
        pooling: Any = build.instantiate(config.pooling, backbone.out_dim)
        projection: Any = build.instantiate(config.model.projection, pooling.out_dim)
    assert projection.out_dim == config.model.projection.dim
    assert 1e5 < sum(p.numel() for part in (backbone, pooling, projection) for p in part.parameters()) < 1e8


@pytest.mark.parametrize("model", MODELS)
def test_the_tiny_size_is_tiny(model: str) -> None:
    assert sum(parameter.numel() for parameter in untrained(model).parameters()) < 150_000


@pytest.mark.parametrize(("model", "pooling"), MODEL_AND_POOLING)
def test_every_stage_gives_the_size_it_announces(model: str, pooling: str) -> None:
    network: Any = untrained(model, pooling)
    for num_frames in (network.min_frames, 48, 61):  # 48: half a second
        frames = network.backbone(features(3, num_frames))
        assert frames.shape[:2] == (3, network.backbone.out_dim)
        assert frames.shape[2] >= 1
        pooled = network.pooling(frames)
        assert pooled.shape == (3, network.pooling.out_dim)
        assert network.projection(pooled).shape == (3, network.out_dim)


@pytest.mark.parametrize("model", MODELS)
def test_any_number_of_frames_from_the_least_on_gives_a_finite_embedding(model: str) -> None:
    network = untrained(model)
    assert 1 <= network.min_frames <= 48  # half a second must do
    with torch.no_grad():
        for num_frames in [*range(network.min_frames, network.min_frames + 18), 97, 200, 301]:
            assert bool(network(features(2, num_frames)).isfinite().all()), num_frames


@pytest.mark.parametrize("model", MODELS)
def test_fewer_frames_than_the_least_are_refused_by_the_backbones_name(model: str) -> None:
    network = untrained(model)
    with pytest.raises(TooShort, match=f"{type(network.backbone).__name__} needs {network.min_frames} frames"):
        network(features(2)[..., : network.min_frames - 1])


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


@pytest.mark.parametrize("model", one_in(3, MODELS))  # up to 4 s each
def test_the_compiler_traces_it_whole_and_changes_nothing(model: str) -> None:
    """One graph, no Python left between its parts; the numbers within 1e-4."""
    network = untrained(model)
    torch.compiler.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(features(2)), network(features(2)), atol=1e-4, rtol=1e-4)


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile's default backend needs a C++ compiler")
@pytest.mark.parametrize("model", MODELS)
def test_compiled_kernels_agree_with_eager_ones(model: str) -> None:
    network = untrained(model)
    torch.compiler.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(network)(features(2)), network(features(2)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("model", "pooling", "loss"), COMBINATIONS)
def test_silence_trains_without_nan(model: str, pooling: str, loss: str) -> None:
    network, head = fresh(model, pooling, loss)
    result: LossOutput = head(network.train()(torch.zeros(4, NUM_BINS, 50)), torch.tensor([0, 0, 1, 1]))
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
    optimizer = torch.optim.Adam(parameters, lr=1e-4)  # more overshoots where random weights are nearly right
    batch, labels = features(8), torch.arange(8) % NUM_SPEAKERS
    before = head(network(batch), labels)
    assert before.loss.ndim == 0
    assert before.logits.shape == (8, NUM_SPEAKERS)
    before.loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    optimizer.step()
    assert head(network(batch), labels).loss < before.loss
