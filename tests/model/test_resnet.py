"""Residual blocks and ResNet: sizes by hand and as published, and the numbers by plain functional calls."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.resnet import BasicBlock, Bottleneck, ResNet

SIZES: dict[str, Any] = {"block": "basic", "channels": [4, 6, 8, 10], "num_blocks": [2, 1, 2, 1]}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def unlike(module: nn.Module) -> Any:
    """In eval(), with normalisations no two of which are alike."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight.data, layer.running_var):
                assert values is not None
                values.uniform_(0.5, 1.5, generator=generator)
            for values in (layer.bias.data, layer.running_mean):
                assert values is not None
                values.uniform_(-0.5, 0.5, generator=generator)
    return module.eval()


def conv_norm(maps: Tensor, conv: Any, norm: Any, *, stride: int = 1) -> Tensor:
    """What the paper's layer is, in torch.nn.functional's words."""
    maps = functional.conv2d(maps, conv.weight, stride=stride, padding=conv.weight.shape[-1] // 2)
    return functional.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def on_meta(*overrides: str, num_bins: int = 80) -> Any:
    config = composed(*overrides)
    with torch.device("meta"):
        return build.embedding_model(config.model, config.pooling, num_bins)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("leaf", "exact", "published"),
    [
        ("resnet34", 6_634_336, 6.63e6),
        ("resnet101", 15_892_448, 15.89e6),
        ("resnet152", 19_814_880, 19.81e6),
        ("resnet221", 23_792_224, 23.79e6),
        ("resnet293", 28_626_016, 28.62e6),
    ],
)
def test_parameters_are_as_many_as_wespeaker_publishes(leaf: str, exact: int, published: float) -> None:
    assert num_parameters(on_meta(f"model={leaf}")) == exact == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize(("leaf", "published"), [("resnet34", 4.55), ("resnet101", 9.96)])
def test_multiplications_are_as_many_as_wespeaker_publishes(leaf: str, published: float) -> None:
    """In 1e9, for 80 bins and 200 frames: they tell where the strides are. The published ones count a little more."""
    backbone = on_meta(f"model={leaf}").backbone.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        backbone(torch.zeros(1, 80, 200, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(published, rel=0.02)


def test_every_stage_of_resnet34_has_the_parameters_counted_by_hand() -> None:
    backbone = on_meta("model=resnet34").backbone
    assert num_parameters(backbone.stem) == 9 * 32 + 2 * 32
    # stage 1: 3 blocks of two 32 -> 32 convolutions of 9 weights, and two normalisations of 2
    # later: the first convolution and the 1x1 shortcut come from half as many channels
    assert [num_parameters(stage) for stage in backbone.stages] == [
        3 * (2 * 9 * 32 * 32 + 4 * 32),
        4 * (2 * 9 * 64 * 64 + 4 * 64) - 9 * 32 * 64 + (32 * 64 + 2 * 64),
        6 * (2 * 9 * 128 * 128 + 4 * 128) - 9 * 64 * 128 + (64 * 128 + 2 * 128),
        3 * (2 * 9 * 256 * 256 + 4 * 256) - 9 * 128 * 256 + (128 * 256 + 2 * 256),
    ]
    assert backbone.out_dim == 256 * 10


def test_the_same_resnet34_takes_a_spectrogram_of_257_bins() -> None:
    model = on_meta("model=resnet34", "model.projection.dim=512", num_bins=257)
    assert model.backbone(torch.zeros(1, 257, 257, device="meta")).shape == (1, 256 * 33, 33)  # 257, 129, 65, 33
    assert model.pooling.out_dim == 2 * 256 * 33
    assert model.out_dim == 512
    assert num_parameters(model.backbone) == 5_323_360  # convolutions do not care


def test_the_leaf_chooses_statistics_pooling_and_the_command_line_may_choose_another() -> None:
    assert composed("model=resnet34").pooling["_target_"] == "speaker_id.pooling.StatisticsPooling"
    assert composed("model=resnet34", "pooling=average").pooling["_target_"] == "speaker_id.pooling.AveragePooling"


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (6, 2), (4, 1)])
def test_a_basic_block_is_two_convolutions_added_to_the_input(in_channels: int, stride: int) -> None:
    block = unlike(BasicBlock(in_channels, 6, stride=stride))
    maps = noise(2, in_channels, 9, 13)
    conv1, norm1, _, conv2, norm2 = block.branch
    inner = conv_norm(maps, conv1, norm1, stride=stride).relu()
    shortcut = maps
    if stride == 2 or in_channels != 6:
        shortcut = conv_norm(maps, *block.shortcut, stride=stride)
    expected = (conv_norm(inner, conv2, norm2) + shortcut).relu()
    torch.testing.assert_close(block(maps), expected)
    assert block.out_channels == expected.shape[1] == 6


@pytest.mark.parametrize(("in_channels", "stride"), [(12, 1), (12, 2), (3, 1)])
def test_a_bottleneck_is_narrow_inside_and_four_times_as_wide_at_its_end(in_channels: int, stride: int) -> None:
    block = unlike(Bottleneck(in_channels, 3, stride=stride))
    maps = noise(2, in_channels, 9, 13)
    conv1, norm1, _, conv2, norm2, _, conv3, norm3 = block.branch
    inner = conv_norm(maps, conv1, norm1).relu()
    inner = conv_norm(inner, conv2, norm2, stride=stride).relu()
    assert inner.shape[1] == 3
    shortcut = maps
    if stride == 2 or in_channels != 12:
        shortcut = conv_norm(maps, *block.shortcut, stride=stride)
    expected = (conv_norm(inner, conv3, norm3) + shortcut).relu()
    torch.testing.assert_close(block(maps), expected)
    assert block.out_channels == expected.shape[1] == 12


def test_a_block_that_computes_nothing_passes_what_is_positive_and_leaves_its_input_alone() -> None:
    block = unlike(BasicBlock(4, 4, stride=1))
    with torch.no_grad():
        block.branch[-1].weight.zero_()
        block.branch[-1].bias.zero_()
    maps = noise(1, 4, 5, 6)
    assert torch.equal(block(maps), maps.relu())
    assert torch.equal(maps, noise(1, 4, 5, 6))


@settings(max_examples=25)
@given(num_bins=st.integers(1, 70), num_frames=st.integers(1, 70))
def test_frequency_and_time_are_halved_three_times_and_rounded_up(num_bins: int, num_frames: int) -> None:
    network = ResNet(num_bins, block="basic", channels=[1, 2, 1, 3], num_blocks=[1, 1, 1, 1]).eval()
    bins, frames = num_bins, num_frames
    for _ in range(3):
        bins, frames = (bins + 1) // 2, (frames + 1) // 2
    assert network(torch.zeros(2, num_bins, num_frames)).shape == (2, 3 * bins, frames)
    assert network.out_dim == 3 * bins


def test_an_output_frame_sees_24_frames_to_each_side_of_every_eighth() -> None:
    """Reach in frames: stem 1, stage 1 two times 1, then 1 + 2, 2 + 4 and 4 + 8 with what the strides skip."""
    network = ResNet(9, block="basic", channels=[16, 16, 16, 16], num_blocks=[1, 1, 1, 1]).double().eval()
    features = noise(1, 9, 81).double().requires_grad_()
    network(features)[..., 5].sum().backward()
    assert features.grad is not None
    seen = features.grad[0].abs().sum(dim=0).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (8 * 5 - 24, 8 * 5 + 24)


def test_frequency_is_flattened_after_the_channels() -> None:
    network = unlike(ResNet(20, **SIZES))
    features = noise(2, 20, 17)
    maps = network.stages(network.stem(features[:, None]))
    assert maps.shape == (2, 10, 3, 3)
    result = network(features)
    for channel in range(10):
        for row in range(3):
            assert torch.equal(result[:, 3 * channel + row], maps[:, channel, row])


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_channels_last_changes_neither_numbers_nor_gradients(block: str) -> None:
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = ResNet(20, **{**SIZES, "block": block}).double().to(memory_format=layout)
        result = network(noise(3, 20, 17).double())
        (result * noise(*result.shape)).sum().backward()
        gradients.append([result, *(parameter.grad for parameter in network.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"block": "dense"}, "block='dense' must be one of: basic, bottleneck"),
        ({"num_blocks": [2, 1]}, r"one positive number for each stage, not \[4, 6, 8, 10\] and \[2, 1\]"),
        ({"num_blocks": [2, 1, 0, 1]}, "one positive number for each stage"),
        ({"channels": [], "num_blocks": []}, "one positive number for each stage"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ResNet(20, **{**SIZES, **change})
