"""Res2Net's parts recomputed from their weights, its sizes counted by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.fusion import Addition
from speaker_id.model.res2net import Res2Block, Res2Net
from speaker_id.model.resnet import conv_norm

SIZES: dict[str, Any] = {"channels": 4, "num_blocks": [1, 2, 1, 1], "base_width": 32, "scale": 3, "expansion": 2}


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def lively(network: nn.Module) -> nn.Module:
    """In eval mode, with normalisations that do something, each channel its own."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, least in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                assert values is not None
                values.data = least + torch.rand(values.shape, generator=generator)
            module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
    return network.eval()


def normed_conv(layer: Any, inputs: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """A convolution and its normalisation, from the weights alone."""
    conv, norm = layer
    outputs = functional.conv2d(inputs, conv.weight, stride=stride, padding=padding)
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    return outputs * scale.view(1, -1, 1, 1) + (norm.bias - norm.running_mean * scale).view(1, -1, 1, 1)


def make_block(in_channels: int = 6, out_channels: int = 8, stride: int = 1, scale: int = 4, num_convs: int = 3) -> Any:
    block = Res2Block(
        in_channels, out_channels, width=3, scale=scale, num_convs=num_convs, fusion=Addition, stride=stride
    )
    return lively(block)


def stage_size(num_blocks: int, in_channels: int, channels: int, *, num_convs: int, expansion: int = 2) -> int:
    """Weights and the two numbers a normalised channel has, with two slices of half the stage's channels."""
    width, out_channels = channels // 2, expansion * channels
    inside = 2 * channels + num_convs * (9 * width**2 + 2 * width) + channels * out_channels + 2 * out_channels
    entries = in_channels * channels + in_channels * out_channels + 2 * out_channels  # first reduction, and shortcut
    return entries + num_blocks * inside + (num_blocks - 1) * out_channels * channels


def test_the_default_has_4_69_million_parameters_as_wespeakers_res2net34_base() -> None:
    config = composed("model=res2net")
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert num_parameters == 4_689_024
    assert num_parameters == pytest.approx(4.68e6, rel=0.02)
    # 256 channels, doubled, of 10 bins: mean and deviation of each to 256 numbers
    assert sum(p.numel() for p in model.projection.parameters()) == 2 * (512 * 10) * 256 + 256


def test_the_default_is_published_with_statistics_pooling_which_the_command_line_still_replaces() -> None:
    assert composed("model=res2net").pooling._target_.endswith(".StatisticsPooling")
    assert composed("model=res2net", "pooling=average").pooling._target_.endswith(".AveragePooling")


def test_each_stage_has_as_many_parameters_as_its_formula_says() -> None:
    with torch.device("meta"):
        network = Res2Net(80, channels=32, num_blocks=[3, 4, 6, 3], base_width=32, scale=2, expansion=2)
    counted = [sum(p.numel() for p in stage.parameters()) for stage in network.stages]
    assert counted == [
        stage_size(3, 32, 32, num_convs=1),
        stage_size(4, 64, 64, num_convs=1),
        stage_size(6, 128, 128, num_convs=1),
        stage_size(3, 256, 256, num_convs=1),
    ]
    # by hand: a first block of 32*32 + 64 + 9*16*16 + 32 + 32*64 + 128 and a shortcut of 32*64 + 128, two others
    assert counted[0] == (1024 + 64 + 2304 + 32 + 2048 + 128 + 2048 + 128) + 2 * (2048 + 64 + 2304 + 32 + 2048 + 128)
    assert sum(p.numel() for p in network.stem.parameters()) == 9 * 32 + 64


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_is_what_its_weights_compute(stride: int) -> None:
    block = make_block(stride=stride)
    inputs = image(2, 6, 7, 9)

    hidden = normed_conv(block.reduce, inputs, stride=stride).clamp(0, 20)
    first, second, third, fourth = hidden[:, 0:3], hidden[:, 3:6], hidden[:, 6:9], hidden[:, 9:12]
    one = normed_conv(block.convs[0], first, padding=1).clamp(0, 20)
    two = normed_conv(block.convs[1], one + second, padding=1).clamp(0, 20)
    three = normed_conv(block.convs[2], two + third, padding=1).clamp(0, 20)
    ladder = torch.cat([one, two, three, fourth], dim=1)
    expected = normed_conv(block.expand, ladder) + normed_conv(block.shortcut, inputs, stride=stride)

    torch.testing.assert_close(block(inputs), expected.clamp(0, 20))
    assert block(inputs).shape == (2, 8, math.ceil(7 / stride), math.ceil(9 / stride))


def test_a_block_of_one_size_adds_its_input_itself_and_leaves_it_as_it_was() -> None:
    block = make_block(in_channels=8)
    assert not list(block.shortcut.parameters())
    block.expand[1].weight.data.zero_()
    block.expand[1].bias.data.zero_()
    inputs = image(2, 8, 5, 6)
    kept = inputs.clone()
    assert torch.equal(block(inputs), kept.clamp(0, 20))
    assert torch.equal(inputs, kept)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_block_clips_at_20(autocast: bool) -> None:
    """20 and whatever precision: bfloat16 holds it exactly."""
    block = make_block(in_channels=8)
    inputs = torch.tensor([-5.0, 3.0, 19.5, 1000.0]).repeat(8).reshape(1, 8, 1, 4)
    block.expand[1].weight.data.zero_()
    block.expand[1].bias.data.zero_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs = block(inputs)
    assert torch.equal(outputs.float(), torch.tensor([0.0, 3.0, 19.5, 20.0]).repeat(8).reshape(1, 8, 1, 4))


def test_inside_a_block_the_slices_are_clipped_too() -> None:
    block = make_block(in_channels=8)
    seen: list[Tensor] = []
    block.expand.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    block(1000.0 * image(2, 8, 5, 6))
    assert (seen[0].min(), seen[0].max()) == (0.0, 20.0)


def test_the_stem_keeps_the_size_and_does_not_clip() -> None:
    stem: Any = Res2Net(24, **SIZES).eval().stem
    outputs = stem(1000.0 * image(2, 1, 24, 11))
    assert outputs.shape == (2, 4, 24, 11)
    assert outputs.min() == 0.0
    assert outputs.max() > 100.0


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9])
def test_a_stride_of_two_keeps_half_the_points_rounded_up(kernel_size: int, size: int) -> None:
    assert conv_norm(1, 2, kernel_size=kernel_size, stride=2)(image(2, 1, size, 5)).shape[2:] == (-(-size // 2), 3)


@pytest.mark.parametrize(("in_dim", "bins"), [(80, 10), (81, 11), (24, 3), (23, 3), (1, 1)])
@pytest.mark.parametrize(("num_frames", "left"), [(1, 1), (8, 1), (9, 2), (61, 8)])
def test_three_stages_halve_bins_and_frames_rounded_up(in_dim: int, bins: int, num_frames: int, left: int) -> None:
    network = Res2Net(in_dim, **SIZES).eval()
    frames = network(image(2, in_dim, num_frames))
    assert network.out_dim == 4 * 8 * 2 * bins
    assert frames.shape == (2, network.out_dim, left)


def test_frequency_is_flattened_into_channels_channels_first() -> None:
    network = Res2Net(24, **SIZES).eval()
    features = image(2, 24, 20)
    last = network.stages(network.stem(features[:, None]))  # (B, 64, 3, 3)
    frames = network(features)
    assert torch.equal(frames[:, 3 * 5 + 2], last[:, 5, 2])


def test_channels_last_changes_the_memory_and_not_the_numbers() -> None:
    network = Res2Net(24, **SIZES).eval()
    features = image(2, 24, 20)
    before = network(features)
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(features), before, atol=1e-5, rtol=1e-5)


def test_base_width_says_how_many_of_64_channels_a_slice_has() -> None:
    with torch.device("meta"):
        network: Any = Res2Net(80, **{**SIZES, "channels": 32, "base_width": 26})
    assert [stage[0].width for stage in network.stages] == [13, 26, 52, 104]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": 1}, "scale=1 must be 2 or more"),
        ({"num_blocks": []}, r"num_blocks=\[\] must hold"),
        ({"num_blocks": [1, 0]}, r"num_blocks=\[1, 0\] must hold 1 or more"),
        ({"expansion": 0}, "expansion=0 must be 1 or more"),
        ({"base_width": 15}, "channels=4 with base_width=15 leaves a slice no channel"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Res2Net(20, **{**SIZES, **change})
