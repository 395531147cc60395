"""Backbone, pooling, projection: how they are put together, and what a checkpoint calls them."""

import pytest
import torch
from torch import nn

from speaker_id.errors import ConfigError
from speaker_id.model.embedding import EmbeddingModel, Projection
from speaker_id.model.xvector import XVector
from speaker_id.pooling import StatisticsPooling


def small() -> EmbeddingModel:
    backbone = XVector(6, channels=4, out_channels=5)
    pooling = StatisticsPooling(backbone.out_dim)
    return EmbeddingModel(backbone, pooling, Projection(pooling.out_dim, dim=3, input_norm=True))


def test_the_embedding_is_the_projection_of_the_pooled_backbone() -> None:
    model = small().eval()
    features = torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(0))
    expected = model.projection(model.pooling(model.backbone(features)))
    assert torch.equal(model(features), expected)
    assert model(features).shape == (2, model.out_dim) == (2, 3)


def test_the_names_in_a_checkpoint_are_backbone_pooling_and_projection() -> None:
    assert {name.split(".")[0] for name in small().state_dict()} == {"backbone", "projection"}
    assert [name for name, _ in small().named_children()] == ["backbone", "pooling", "projection"]


def test_a_projection_without_options_is_one_linear_layer() -> None:
    layer = Projection(4, dim=2, input_norm=False)
    linear = layer.layers[-1]
    assert isinstance(linear, nn.Linear)
    pooled = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(layer(pooled), pooled @ linear.weight.T + linear.bias)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 4 * 2 + 2


def test_input_norm_makes_statistics_of_any_scale_alike() -> None:
    layer = Projection(3, dim=2, input_norm=True).train()
    pooled = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    scaled = pooled * torch.tensor([1.0, 50.0, 300.0]) + torch.tensor([0.0, -20.0, 100.0])
    torch.testing.assert_close(layer(scaled), layer(pooled), atol=1e-3, rtol=0)


def test_hidden_layers_are_linear_relu_normalisation_and_end_linear() -> None:
    layer = Projection(6, dim=2, input_norm=True, hidden_dims=[5, 4])
    kinds = [nn.BatchNorm1d, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Linear]
    assert [type(part) for part in layer.layers] == kinds
    assert layer.out_dim == 2
    assert layer(torch.randn(3, 6)).shape == (3, 2)


def test_an_output_norm_is_a_bare_normalisation_of_a_layer_without_bias() -> None:
    layer = Projection(4, dim=2, input_norm=False, output="norm")
    assert {name for name, _ in layer.named_parameters()} == {"layers.0.weight"}
    embeddings = layer.train()(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(embeddings.mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(embeddings.std(dim=0, correction=0), torch.ones(2), atol=1e-3, rtol=0)


def test_a_relu_output_cuts_what_the_linear_layer_gives() -> None:
    layer = Projection(4, dim=8, input_norm=False, output="relu")
    pooled = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    linear = layer.layers[0]
    assert torch.equal(layer(pooled), linear(pooled).clamp_min(0.0))
    assert linear(pooled).min() < 0.0


def test_an_output_that_does_not_exist_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"output='batch' does not exist; choose one of linear, relu, norm"):
        Projection(4, dim=2, input_norm=False, output="batch")
