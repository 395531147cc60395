"""ECAPA-TDNN's parts, worked by hand, and its size."""

from typing import Any

import pytest
import torch

from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.ecapa import Ecapa, Res2Conv, SERes2Block, SqueezeExcitation

SIZES: dict[str, Any] = {
    "channels": 16,
    "out_channels": 24,
    "kernel_sizes": [5, 3, 3, 3],
    "dilations": [1, 2, 3, 4],
    "scale": 4,
    "se_bottleneck": 8,
}


def frames(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("leaf", "published", "expected"), [("ecapa", 6.19e6, 6_190_720), ("ecapa_1024", 14.7e6, 14_657_088)]
)
def test_with_attentive_statistics_it_has_the_published_number_of_parameters(
    leaf: str, published: float, expected: int
) -> None:
    config = build.compose("train", [f"model={leaf}", "pooling=attentive_statistics"])
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    assert model.out_dim == 192
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert expected == pytest.approx(published, rel=0.02)


def test_the_large_leaf_is_the_small_one_but_for_its_width_and_gives_way_to_the_command_line() -> None:
    small = build.compose("train", ["model=ecapa"]).model
    large = build.compose("train", ["model=ecapa_1024", "model.backbone.scale=4"]).model
    assert large == {**small, "backbone": {**small.backbone, "channels": 1024, "scale": 4}}


@pytest.mark.parametrize("num_frames", [1, 8, 48, 200])
def test_it_keeps_the_number_of_frames(num_frames: int) -> None:
    network = Ecapa(20, **SIZES).eval()
    assert network.out_dim == 24
    assert network(frames(2, 20, num_frames)).shape == (2, 24, num_frames)


def test_its_output_passed_a_relu() -> None:
    assert Ecapa(20, **SIZES).eval()(frames(2, 20, 30)).min() == 0.0


def test_the_first_res2_slice_passes_unchanged_and_the_second_sees_only_itself() -> None:
    layer = Res2Conv(8, kernel_size=3, dilation=2, scale=4).eval()
    inputs = frames(1, 8, 12)
    outputs = layer(inputs)
    assert torch.equal(outputs[:, :2], inputs[:, :2])
    assert torch.equal(outputs[:, 2:4], layer.convs[0](inputs[:, 2:4]))


def test_later_res2_slices_are_fed_by_the_result_before() -> None:
    layer = Res2Conv(6, kernel_size=3, dilation=1, scale=3).eval()
    inputs = frames(1, 6, 9)
    second = layer.convs[0](inputs[:, 2:4])
    third = layer.convs[1](inputs[:, 4:6] + second)
    torch.testing.assert_close(layer(inputs)[:, 4:6], third)
    changed = inputs.clone()
    changed[:, :2] += 1.0
    assert torch.equal(layer(changed)[:, 2:], layer(inputs)[:, 2:])  # the first slice feeds nobody


def test_excitation_scales_each_channel_by_a_sigmoid_of_the_means() -> None:
    layer = SqueezeExcitation(2, bottleneck=2)
    with torch.no_grad():
        layer.squeeze.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        layer.squeeze.bias.copy_(torch.tensor([0.5, 0.5]))
        layer.excite.weight.copy_(torch.tensor([[1.0, 9.0], [-2.0, 9.0]]))
        layer.excite.bias.copy_(torch.tensor([0.0, 1.0]))
    # means 2 and 1, squeezed 2 - 1 + 0.5 = 1.5 and, by the ReLU, 1 - 2 + 0.5 -> 0
    inputs = torch.tensor([[[1.0, 3.0], [0.0, 2.0]]])
    gates = torch.tensor([1.5, -2.0]).sigmoid()  # 1.5, and 1 - 2 * 1.5
    torch.testing.assert_close(layer(inputs), inputs * gates.view(1, 2, 1))


def test_a_block_adds_what_it_computes_to_its_input() -> None:
    block = SERes2Block(8, kernel_size=3, dilation=2, scale=4, se_bottleneck=4).eval()
    inputs = frames(2, 8, 15)
    inside = block.excitation(block.merge(block.res2(block.expand(inputs))))
    torch.testing.assert_close(block(inputs), inputs + inside)
    with torch.no_grad():
        block.merge.norm.weight.zero_()
        block.merge.norm.bias.zero_()
    assert torch.equal(block(inputs), inputs)


def test_the_aggregation_sees_the_output_of_every_block() -> None:
    network = Ecapa(20, **SIZES).eval()
    assert network.aggregation.in_channels == 3 * 16
    before = network(frames(1, 20, 20))
    for block in range(3):
        with torch.no_grad():
            kept = network.aggregation.weight.clone()
            network.aggregation.weight[:, 16 * block : 16 * (block + 1)] = 0.0
            assert not torch.allclose(network(frames(1, 20, 20)), before)
            network.aggregation.weight.copy_(kept)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": 3}, "channels=16 must be a multiple of scale=3"),
        ({"dilations": [1, 2]}, "one entry for each layer"),
        ({"kernel_sizes": [5, 4, 3, 3]}, r"kernel_sizes=\[5, 4, 3, 3\] must be odd"),
        ({"kernel_sizes": [5], "dilations": [1]}, "one block after the first"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Ecapa(20, **{**SIZES, **change})
