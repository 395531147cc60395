"""The origin's TDNN against functional calls, its reach, and its size."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from speaker_id import build
from speaker_id.model.origin_tdnn import OriginTdnn
from speaker_id.model.tdnn import ConvReluNorm


def frames(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_with_the_origins_pooling_it_has_2_6_million_parameters() -> None:
    config = build.compose("train", ["model=tdnn"])
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    # (5 80 + 1) 512 + 2 (3 512 + 1) 512 + 2 (512 + 1) 512, pooling (512 + 1) 128 + (128 + 1) 512,
    # projection 1024 192, and two for each of the 4 512 + 1024 normalised channels
    expected = 2_638_976
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert expected == pytest.approx(2.6e6, rel=0.02)
    assert model.out_dim == 192


def test_it_is_four_normalised_layers_and_one_that_is_not() -> None:
    torch.manual_seed(0)
    network: Any = OriginTdnn(6, channels=8, out_channels=5).eval()
    for layer in network.layers[:4]:
        layer.norm.running_mean.uniform_(-1.0, 1.0)
        layer.norm.running_var.uniform_(0.5, 2.0)
    features = frames(2, 6, 30)
    hidden = features
    for layer, dilation in zip(network.layers[:4], (1, 2, 3, 1), strict=True):
        hidden = functional.conv1d(hidden, layer.conv.weight, layer.conv.bias, dilation=dilation).clamp_min(0.0)
        hidden = functional.batch_norm(
            hidden, layer.norm.running_mean, layer.norm.running_var, layer.norm.weight, layer.norm.bias
        )
    last = network.layers[4]
    expected = functional.conv1d(hidden, last.weight, last.bias).clamp_min(0.0)
    torch.testing.assert_close(network(features), expected)
    assert expected.shape == (2, 5, 30 - 14)


def test_it_sees_seven_frames_to_each_side_and_15_are_the_least() -> None:
    torch.manual_seed(0)
    network = OriginTdnn(3, channels=64, out_channels=64).eval()  # wide: a ReLU blocks some of the paths
    inputs = frames(1, 3, 31).requires_grad_()
    network(inputs)[..., 8].sum().backward()  # the 9th of 17 frames, of input frames 8 to 22
    assert inputs.grad is not None
    seen = inputs.grad[0].abs().sum(dim=0).nonzero().flatten().tolist()
    assert (min(seen), max(seen)) == (8, 22)
    assert network.min_frames == 15
    assert network(frames(1, 3, 15)).shape == (1, 64, 1)


@pytest.mark.parametrize(("kernel_size", "dilation", "lost"), [(5, 1, 4), (3, 3, 6), (1, 1, 0)])
def test_an_unpadded_layer_is_the_inside_of_a_padded_one(kernel_size: int, dilation: int, lost: int) -> None:
    padded = ConvReluNorm(4, 6, kernel_size=kernel_size, dilation=dilation).eval()
    unpadded = ConvReluNorm(4, 6, kernel_size=kernel_size, dilation=dilation, padded=False).eval()
    unpadded.load_state_dict(padded.state_dict())
    inputs = frames(2, 4, 20)
    inside = padded(inputs)[..., lost // 2 : 20 - lost // 2]
    assert inside.shape[-1] == 20 - lost
    torch.testing.assert_close(unpadded(inputs), inside)
