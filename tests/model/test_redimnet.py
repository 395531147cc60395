"""ReDimNet's parts recomputed by functional calls, its reshaping counted out, and the sizes of the seven leaves."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.redimnet import ReDimNet, WeightedSum, to_frames, to_maps
from speaker_id.model.redimnet_blocks import (
    AttentionLayer,
    ChannelNorm,
    ConvNextBlock,
    FrequencyGate,
    TimeContext,
    grouped_conv,
    make_block,
)

SIZES: dict[str, Any] = {**ReDimNet.TINY, "block": "resnet"}
# Published size in millions, number of bins it was published with, parameters at that number and at 80.
LEAVES = {
    "redimnet_b0": (1.0, 60, 1_002_690, 1_411_702),
    "redimnet_b1": (2.2, 72, 2_184_332, 3_072_812),
    "redimnet_b2": (4.7, 72, 4_701_696, 5_584_868),
    "redimnet_b3": (3.0, 72, 3_004_976, 3_315_668),
    "redimnet_b4": (6.3, 72, 6_292_408, 7_057_192),
    "redimnet_b5": (9.2, 72, 9_215_028, 10_198_904),
    "redimnet_b6": (15.0, 72, 15_004_624, 16_670_040),
}


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def unlike_fresh(module: nn.Module) -> nn.Module:
    """In eval mode, every parameter and running statistic at a value of its own: a forgotten one would show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module.eval()


def embedding_model(leaf: str, num_bins: int, *overrides: str) -> nn.Module:
    config = composed(f"model={leaf}", *overrides)
    with torch.device("meta"):
        return build.embedding_model(config.model, config.pooling, num_bins)


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def normalised(values: Tensor, norm: Any) -> Tensor:
    return functional.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def layer_normalised(points: Tensor, norm: Any) -> Tensor:
    """Over the last axis, spelt out."""
    centred = points - points.mean(dim=-1, keepdim=True)
    result: Tensor = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias
    return result


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_has_the_published_number_of_parameters(leaf: str) -> None:
    published, num_bins, expected, with_80_bins = LEAVES[leaf]
    assert size(embedding_model(leaf, num_bins)) == expected
    assert expected == pytest.approx(published * 1e6, rel=0.02)
    assert size(embedding_model(leaf, 80)) == with_80_bins


@pytest.mark.parametrize(
    ("leaf", "overrides", "num_values", "num_redundant"),
    [
        # the convolutions before a normalisation, which have a bias there: 1-D 4 (3 96 + 2 144 + 288),
        # 2-D 2 16 + 2 32 + 3 32 + 4 96 + 4 96 + 4 192
        ("redimnet_b2", ["strides=[1,2,1,3,1,2]", "reductions=[12,12,12,8,8,4]"], 5_100_983, 3_456 + 1_728),
        # 1-D 4 (3 48 + 72 + 96 + 144), 2-D 4 64 + 4 128 + 6 128 + 6 128 + 8 128 + 4 256, narrowing 32 + 64 + 64
        ("redimnet_b5", ["num_blocks=[4,4,6,6,8,4]", "reductions=[48,48,48,32,24,16]"], 7_709_351, 1_824 + 4_352 + 160),
    ],
)
def test_as_the_authors_configured_it_it_has_every_value_of_their_released_weights(
    leaf: str, overrides: list[str], num_values: int, num_redundant: int
) -> None:
    """Their files hold the front end too (2 + 400 + 257 72 values), a constant weight 1, and redundant biases."""
    model = embedding_model(leaf, 72, *(f"model.backbone.{override}" for override in overrides))
    values = sum(tensor.numel() for tensor in model.state_dict().values())
    assert values + num_redundant + 1 + 2 + 400 + 257 * 72 == num_values


def test_frames_hold_the_channels_of_the_lowest_frequency_first() -> None:
    maps = torch.arange(12.0).view(1, 2, 3, 2)  # channel c, bin f, frame t holds 6 c + 2 f + t
    expected = [[0, 1], [6, 7], [2, 3], [8, 9], [4, 5], [10, 11]]  # rows: bin 0 of channels 0 and 1, bin 1 of both, ...
    assert to_frames(maps).tolist() == [expected]
    assert torch.equal(to_maps(to_frames(maps), 3), maps)


def test_a_row_of_the_frames_is_of_the_same_frequency_at_every_stage() -> None:
    """4 channels of 6 bins read as 8 of 3 still hold bins 2 i and 2 i + 1 in bin i."""
    bins = torch.arange(6.0).view(1, 1, 6, 1).expand(1, 4, 6, 1)
    coarser = to_maps(to_frames(bins), 3)
    assert coarser.shape == (1, 8, 3, 1)
    assert [set(coarser[0, :, band, 0].tolist()) for band in range(3)] == [{0.0, 1.0}, {2.0, 3.0}, {4.0, 5.0}]


def test_a_weighted_sum_weighs_each_channel_of_each_output_by_a_softmax() -> None:
    weighted_sum = WeightedSum(2, 2)
    outputs = [torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[5.0, 6.0], [7.0, 8.0]]])]
    assert weighted_sum(outputs).tolist() == [[[3.0, 4.0], [5.0, 6.0]]]  # fresh: the mean
    with torch.no_grad():
        weighted_sum.weight.copy_(torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(4.0)]]).unsqueeze(-1))
    # channel 0: 3/4 and 1/4; channel 1: 1/5 and 4/5
    expected = torch.tensor([[[0.75 + 1.25, 1.5 + 1.5], [0.6 + 5.6, 0.8 + 6.4]]])
    torch.testing.assert_close(weighted_sum(outputs), expected)


def test_channel_norm_normalises_over_channels_alone() -> None:
    norm: Any = unlike_fresh(ChannelNorm(5))
    maps = 3.0 * noise(2, 5, 4, 3) + 1.0
    expected = layer_normalised(maps.permute(0, 2, 3, 1), norm).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(maps), expected)


def test_a_grouped_convolution_mixes_as_many_channels_as_a_group_has() -> None:
    conv = grouped_conv(12, 6, group_size=2)
    maps = noise(1, 12, 4, 4).requires_grad_()
    conv(maps)[0, 2:4].sum().backward()  # the second of three groups
    assert maps.grad is not None
    assert maps.grad[0].abs().sum(dim=(1, 2)).nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_a_convnext_block_is_convolution_normalisation_gelu_pointwise_and_residual() -> None:
    block: Any = unlike_fresh(ConvNextBlock(4, group_size=2))
    maps = noise(2, 4, 6, 9)
    hidden = normalised(functional.conv2d(maps, block.conv.weight, padding=1, groups=2), block.norm)
    hidden = 0.5 * hidden * (1.0 + torch.erf(hidden / math.sqrt(2.0)))
    expected = maps + functional.conv2d(hidden, block.pointwise.weight, block.pointwise.bias)
    torch.testing.assert_close(block(maps), expected)


@pytest.mark.parametrize("kind", ["resnet", "resnet_se"])
def test_a_resnet_block_is_two_pairs_of_convolutions_a_gate_and_a_residual(kind: str) -> None:
    block: Any = unlike_fresh(make_block(kind, 4, 6, group_size=1))
    maps = noise(2, 4, 6, 9)
    hidden = functional.conv2d(maps, block.conv1.weight, padding=1, groups=4)
    hidden = functional.conv2d(hidden, block.pointwise1.weight, block.pointwise1.bias)
    hidden = normalised(hidden.clamp_min(0.0), block.norm1)
    hidden = functional.conv2d(hidden, block.conv2.weight, padding=1, groups=4)
    hidden = normalised(functional.conv2d(hidden, block.pointwise2.weight), block.norm2)
    if kind == "resnet_se":
        assert block.gate.squeeze.out_features == 32
        hidden = block.gate(hidden)
    torch.testing.assert_close(block(maps), (maps + hidden).clamp_min(0.0))
    assert (block(maps) == 0.0).any()


def test_a_block_leaves_its_input_as_it_was() -> None:
    for kind in ("convnext", "resnet", "resnet_se"):
        maps = noise(1, 4, 6, 9)
        make_block(kind, 4, 6, group_size=2)(maps)
        assert torch.equal(maps, noise(1, 4, 6, 9))


def test_the_frequency_gate_scales_each_band_by_a_sigmoid_of_the_bands_means() -> None:
    gate = FrequencyGate(2, bottleneck=2)
    with torch.no_grad():
        gate.squeeze.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        gate.squeeze.bias.copy_(torch.tensor([0.5, 0.5]))
        gate.excite.weight.copy_(torch.tensor([[1.0, 9.0], [-2.0, 9.0]]))
        gate.excite.bias.copy_(torch.tensor([0.0, 1.0]))
    # bands' means 2 and 1, squeezed 2 - 1 + 0.5 = 1.5 and, by the ReLU, 1 - 2 + 0.5 -> 0
    maps = torch.tensor([[[[1.0, 5.0], [0.0, 2.0]], [[2.0, 0.0], [1.0, 1.0]]]])
    gates = torch.tensor([1.5, -2.0]).sigmoid()  # 1.5, and 1 - 2 * 1.5
    torch.testing.assert_close(gate(maps), maps * gates.view(1, 1, 2, 1))


def test_the_time_context_is_reduction_convolutions_attention_expansion_and_residual() -> None:
    context: Any = unlike_fresh(TimeContext(8, 4, kernel_sizes=[3, 5], num_heads=2))
    frames = noise(2, 8, 11)
    hidden = functional.conv1d(frames, context.reduce.weight, context.reduce.bias)
    hidden = layer_normalised(hidden.transpose(1, 2), context.norm).transpose(1, 2)
    for block, padding in zip(context.convs, (1, 2), strict=True):
        inside = normalised(functional.conv1d(hidden, block.conv.weight, padding=padding, groups=4), block.norm)
        inside = functional.gelu(inside)
        hidden = hidden + functional.conv1d(inside, block.pointwise.weight, block.pointwise.bias)
    hidden = context.attention(hidden)
    expected = frames + functional.conv1d(hidden, context.expand.weight, context.expand.bias)
    torch.testing.assert_close(context(frames), expected)


def test_attention_is_a_softmax_over_all_frames_in_each_head() -> None:
    layer: Any = unlike_fresh(AttentionLayer(6, num_heads=2))
    frames = noise(2, 6, 7)
    points = frames.transpose(1, 2)
    projected = points @ layer.query_key_value.weight.T + layer.query_key_value.bias
    heads = []
    for head in range(2):
        query, key, value = (projected[..., 6 * part + 3 * head : 6 * part + 3 * head + 3] for part in range(3))
        heads.append((query @ key.transpose(1, 2) / math.sqrt(3.0)).softmax(dim=-1) @ value)
    attended = torch.cat(heads, dim=-1) @ layer.output.weight.T + layer.output.bias
    points = layer_normalised(points + attended, layer.norm1)
    hidden = points @ layer.feed_in.weight.T + layer.feed_in.bias
    hidden = 0.5 * hidden * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (hidden + 0.044715 * hidden**3)))
    points = layer_normalised(points + hidden @ layer.feed_out.weight.T + layer.feed_out.bias, layer.norm2)
    torch.testing.assert_close(layer(frames), points.transpose(1, 2))


def test_the_network_is_its_stages_each_fed_by_a_sum_of_all_outputs_before() -> None:
    network: Any = unlike_fresh(ReDimNet(6, **{**SIZES, "strides": [1, 3], "group_size": 1}))
    features = noise(2, 6, 13)
    conv, norm = network.stem
    stem = functional.conv2d(features.unsqueeze(1), conv.weight, conv.bias, padding=1)
    first = to_frames(norm(stem))
    second = network.stages[0](first)
    third = network.stages[1](network.sums[0]([first, second]))
    torch.testing.assert_close(network(features), network.sums[1]([first, second, third]))


def test_a_stage_strides_over_frequency_widens_narrows_and_looks_along_time() -> None:
    network: Any = unlike_fresh(ReDimNet(6, **SIZES))
    stage = network.stages[1]  # stride 3, twice as wide inside: 4 channels of 6 bins, 24 of 2 inside, 12 of 2
    frames = noise(2, 24, 9)
    conv, block, narrowing = stage.maps
    assert conv.weight.shape == (24, 4, 3, 1)
    hidden = block(functional.conv2d(to_maps(frames, 6), conv.weight, conv.bias, stride=(3, 1)))
    grouped, norm, _, pointwise = narrowing
    hidden = functional.gelu(normalised(functional.conv2d(hidden, grouped.weight, padding=1, groups=6), norm))
    hidden = functional.conv2d(hidden, pointwise.weight, pointwise.bias)
    assert hidden.shape == (2, 12, 2, 9)
    torch.testing.assert_close(stage(frames), stage.context(to_frames(hidden)))


def test_a_stage_without_reduction_has_no_block_over_time_and_one_without_expansion_nothing_to_narrow() -> None:
    stage: Any = ReDimNet(6, **SIZES).stages[0]
    assert stage.context is None
    assert len(stage.maps) == 2


@pytest.mark.parametrize(("num_bins", "padded"), [(24, 24), (25, 30), (80, 84)])
def test_bins_that_the_strides_do_not_divide_are_padded_above_the_highest(num_bins: int, padded: int) -> None:
    network: Any = unlike_fresh(ReDimNet(num_bins, **{**SIZES, "strides": [2, 3]}))
    whole: Any = ReDimNet(padded, **{**SIZES, "strides": [2, 3]}).eval()
    whole.load_state_dict(network.state_dict())
    features = noise(1, num_bins, 8)
    assert network.out_dim == 4 * padded
    silence_above = torch.cat([features, torch.zeros(1, padded - num_bins, 8)], dim=1)
    assert torch.equal(network(features), whole(silence_above))


@pytest.mark.parametrize("num_frames", [1, 7, 60])
@pytest.mark.parametrize("block", ["convnext", "resnet", "resnet_se"])
def test_it_keeps_the_number_of_frames(block: str, num_frames: int) -> None:
    network = ReDimNet(24, **{**SIZES, "block": block}).eval()
    assert network.out_dim == 96
    assert network(noise(2, 24, num_frames)).shape == (2, 96, num_frames)


@pytest.mark.parametrize("block", ["convnext", "resnet", "resnet_se"])
def test_every_parameter_learns(block: str) -> None:
    torch.manual_seed(0)
    network = ReDimNet(12, **{**SIZES, "block": block}).train()
    outputs = network(noise(4, 12, 20))
    (outputs * torch.randn(outputs.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-4, name


def test_the_width_of_the_block_over_time_is_rounded_down_to_whole_heads() -> None:
    def width(reduction: int) -> int:
        network: Any = ReDimNet(24, **{**SIZES, "num_heads": 4, "reductions": [None, reduction]})
        hidden: int = network.stages[1].context.reduce.out_channels
        return hidden

    assert [width(reduction) for reduction in (1, 7, 9, 24, 90)] == [96, 12, 8, 4, 4]  # 96 / 7 = 13.7, 96 / 9 = 10.7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"strides": [1, 2, 1]}, "one entry for each stage"),
        ({"reductions": [6]}, "one entry for each stage"),
        ({"strides": [], "num_blocks": [], "expansions": [], "reductions": []}, "one entry for each stage"),
        ({"block": "resnext"}, "block='resnext' does not exist; there are: convnext, resnet, resnet_se"),
        ({"group_size": 64}, "group_size=64 does not split the 4 channels"),
        ({"channels": 5}, "group_size=2 does not split the 5 channels"),
        ({"time_kernel_sizes": [3, 8]}, r"time_kernel_sizes=\[3, 8\] must be odd"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ReDimNet(24, **{**SIZES, **change})
