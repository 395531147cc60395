"""ERes2Net: its fusions by hand, its sizes counted by hand and held to the published ones."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.eres2net import ERes2Net
from speaker_id.model.fusion import Addition, AttentiveFusion
from speaker_id.model.res2net import Res2Block

SIZES: dict[str, Any] = {
    "channels": 4,
    "num_blocks": [1, 2, 1, 1],
    "base_width": 32,
    "scale": 2,
    "expansion": 2,
    "attentive_from": 3,
    "fused_from": 1,
}


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def fusion_size(channels: int) -> int:
    """Both images to a quarter of their channels and back, each normalised."""
    hidden = channels // 4
    return 2 * channels * hidden + 2 * hidden + hidden * channels + 2 * channels


def stage_size(num_blocks: int, in_channels: int, channels: int, width: int, *, attentive: bool) -> int:
    """Blocks of two slices, both convolved, that let out twice their stage's channels."""
    slices = 2 * (9 * width**2 + 2 * width) + (fusion_size(width) if attentive else 0)
    inside = 2 * 2 * width + slices + 2 * width * 2 * channels + 2 * 2 * channels
    entries = in_channels * 2 * width + in_channels * 2 * channels + 2 * 2 * channels  # first reduction, and shortcut
    return entries + num_blocks * inside + (num_blocks - 1) * 2 * channels * 2 * width


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "published", "exact"),
    [
        ("eres2net", 6.61e6, 6_608_608),
        ("eres2net_large", 22.46e6, 22_458_624),
        ("eres2netv2", 17.86e6, 17_856_792),
    ],
)
def test_a_leaf_has_the_published_number_of_parameters(leaf: str, published: float, exact: int) -> None:
    config = composed(f"model={leaf}")
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    assert model.out_dim == 192
    assert num_parameters(model) == exact
    assert exact == pytest.approx(published, rel=0.001)


@pytest.mark.parametrize("leaf", ["eres2net", "eres2net_large", "eres2netv2"])
def test_a_leaf_is_published_with_statistics_pooling_which_the_command_line_still_replaces(leaf: str) -> None:
    assert composed(f"model={leaf}").pooling._target_.endswith(".StatisticsPooling")
    assert composed(f"model={leaf}", "pooling=average").pooling._target_.endswith(".AveragePooling")


@pytest.mark.parametrize(("leaf", "channels", "widths"), [("eres2net", 32, 16), ("eres2netv2", 64, 26)])
def test_each_stage_has_as_many_parameters_as_its_formula_says(leaf: str, channels: int, widths: int) -> None:
    with torch.device("meta"):
        network: Any = build.instantiate(composed(f"model={leaf}").model.backbone, 80)
    counted = [num_parameters(stage) for stage in [*network.first_stages, *network.fused_stages]]
    assert counted == [
        stage_size(3, channels, channels, widths, attentive=False),
        stage_size(4, 2 * channels, 2 * channels, 2 * widths, attentive=False),
        stage_size(6, 4 * channels, 4 * channels, 4 * widths, attentive=True),
        stage_size(3, 8 * channels, 8 * channels, 8 * widths, attentive=True),
    ]


def test_the_first_version_fuses_all_four_stages_and_the_second_the_last_two() -> None:
    with torch.device("meta"):
        first: Any = build.instantiate(composed("model=eres2net").model.backbone, 80)
        second: Any = build.instantiate(composed("model=eres2netv2").model.backbone, 80)
    assert [num_parameters(fusion) for fusion in first.fusions] == [fusion_size(c) for c in (128, 256, 512)]
    assert [num_parameters(fusion) for fusion in second.fusions] == [fusion_size(1024)]
    assert fusion_size(128) == 256 * 32 + 64 + 32 * 128 + 256
    assert [num_parameters(conv) for conv in first.halvings] == [9 * 64 * 128, 9 * 128 * 256, 9 * 256 * 512]
    assert [num_parameters(conv) for conv in second.halvings] == [9 * 512 * 1024]


# --- attentive fusion -------------------------------------------------------------------------------------------------


def fixed_attention(fusion: AttentiveFusion, attention: Tensor) -> None:
    """Whatever the images: the last normalisation gives (C,) values of our own."""
    norm: Any = fusion.attention[-1]
    norm.weight.data.zero_()
    norm.bias.data.copy_(attention)


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (0.0, 5.0 + 3.0),
        (50.0, 2 * 5.0),  # all weight on the first
        (-50.0, 2 * 3.0),  # all weight on the second
        (0.5493061443340549, 1.5 * 5.0 + 0.5 * 3.0),  # tanh of log(3) / 2 is one half
    ],
)
def test_the_two_images_weigh_one_plus_and_one_minus_the_tanh(attention: float, expected: float) -> None:
    fusion = AttentiveFusion(4).eval()
    fixed_attention(fusion, torch.full((4,), attention))
    first, second = torch.full((2, 4, 3, 5), 5.0), torch.full((2, 4, 3, 5), 3.0)
    torch.testing.assert_close(fusion(first, second), torch.full((2, 4, 3, 5), expected))


def test_the_attention_is_computed_from_both_images_at_each_point() -> None:
    """Point by point from the weights: x * U + y * (2 - U) with U = 1 + tanh(W2 silu(W1 [x, y]))."""
    fusion: Any = AttentiveFusion(8).eval()
    first, second = image(2, 8, 3, 5), image(2, 8, 3, 5, seed=1)
    squeeze, excite = fusion.attention[0].weight[..., 0, 0], fusion.attention[3].weight[..., 0, 0]
    assert (squeeze.shape, excite.shape) == ((2, 16), (8, 2))
    norm = (1 + 1e-5) ** -0.5  # an untrained normalisation
    expected = torch.empty(2, 8, 3, 5)
    for row in range(2):
        for frequency in range(3):
            for time in range(5):
                x, y = first[row, :, frequency, time], second[row, :, frequency, time]
                hidden = squeeze @ torch.cat([x, y]) * norm
                weight = 1 + torch.tanh(excite @ (hidden * torch.sigmoid(hidden)) * norm)
                expected[row, :, frequency, time] = x * weight + y * (2 - weight)
    torch.testing.assert_close(fusion(first, second), expected)
    assert not torch.allclose(fusion(first, second), first + second, atol=1e-2)


def test_equal_images_are_doubled_whatever_the_attention() -> None:
    same = image(2, 8, 3, 5)
    torch.testing.assert_close(AttentiveFusion(8)(same, same), 2 * same)


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Addition, AttentiveFusion])
def test_every_slice_is_convolved_and_each_but_the_first_is_fused_with_the_result_before(kind: Any) -> None:
    block: Any = Res2Block(6, 8, width=3, scale=3, num_convs=3, fusion=kind, stride=1).eval()
    inputs = image(2, 6, 7, 9)
    one, two, three = block.reduce(inputs).clamp(0, 20).chunk(3, dim=1)
    fuse = [(lambda x, y: x + y)] * 2 if kind is Addition else block.fusions
    one = block.convs[0](one).clamp(0, 20)
    two = block.convs[1](fuse[0](one, two)).clamp(0, 20)
    three = block.convs[2](fuse[1](two, three)).clamp(0, 20)
    expected = block.expand(torch.cat([one, two, three], dim=1)) + block.shortcut(inputs)
    torch.testing.assert_close(block(inputs), expected.clamp(0, 20))


def test_slices_are_joined_by_attention_from_the_stage_that_is_named() -> None:
    network: Any = ERes2Net(24, **SIZES)
    kinds = [type(stage[-1].fusions[0]) for stage in [*network.first_stages, *network.fused_stages]]
    assert kinds == [Addition, Addition, AttentiveFusion, AttentiveFusion]


# --- the whole --------------------------------------------------------------------------------------------------------


def test_from_the_first_stage_on_every_output_is_fused_with_what_was_fused_before() -> None:
    network: Any = ERes2Net(24, **SIZES).eval()
    features = image(2, 24, 30)
    one = network.first_stages[0](functional.relu(network.stem[1](network.stem[0](features[:, None]))))
    two = network.fused_stages[0](one)
    three = network.fused_stages[1](two)
    four = network.fused_stages[2](three)

    def half(number: int, smaller: Tensor) -> Tensor:
        return functional.conv2d(smaller, network.halvings[number].weight, stride=2, padding=1)

    fused = network.fusions[0](two, half(0, one))
    fused = network.fusions[1](three, half(1, fused))
    fused = network.fusions[2](four, half(2, fused))
    torch.testing.assert_close(network(features), fused.reshape(2, 64 * 3, 4))


def test_from_the_third_stage_on_only_the_last_two_are_fused() -> None:
    network: Any = ERes2Net(24, **{**SIZES, "fused_from": 3}).eval()
    features = image(2, 24, 30)
    three = network.first_stages(network.stem(features[:, None]))
    half = functional.conv2d(three, network.halvings[0].weight, stride=2, padding=1)
    fused = network.fusions[0](network.fused_stages[0](three), half)
    torch.testing.assert_close(network(features), fused.reshape(2, 64 * 3, 4))


def test_both_fusions_can_be_switched_off() -> None:
    network: Any = ERes2Net(24, **{**SIZES, "attentive_from": 5, "fused_from": 5}).eval()
    assert not any(isinstance(module, AttentiveFusion) for module in network.modules())
    features = image(2, 24, 30)
    plain = network.first_stages(network.stem(features[:, None]))
    assert torch.equal(network(features), plain.flatten(1, 2))


@pytest.mark.parametrize(("in_dim", "bins"), [(80, 10), (81, 11), (24, 3), (1, 1)])
@pytest.mark.parametrize(("num_frames", "left"), [(1, 1), (8, 1), (9, 2), (61, 8)])
def test_three_stages_halve_bins_and_frames_rounded_up(in_dim: int, bins: int, num_frames: int, left: int) -> None:
    network = ERes2Net(in_dim, **SIZES).eval()
    frames = network(image(2, in_dim, num_frames))
    assert network.out_dim == 4 * 8 * 2 * bins
    assert frames.shape == (2, network.out_dim, left)


def test_channels_last_changes_the_memory_and_not_the_numbers() -> None:
    network = ERes2Net(24, **SIZES).eval()
    features = image(2, 24, 20)
    before = network(features)
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(features), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scale": 0}, "scale=0 must be 1 or more"),
        ({"fused_from": 0}, "fused_from=0 must be 1 to 5"),
        ({"attentive_from": 6}, "attentive_from=6 must be 1 to 5"),
        ({"num_blocks": [1, 1, -1, 1]}, r"num_blocks=\[1, 1, -1, 1\] must hold 1 or more"),
        ({"expansion": 0}, "expansion=0 must be 1 or more"),
        ({"base_width": 8}, "channels=4 with base_width=8 leaves a slice no channel"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        ERes2Net(20, **{**SIZES, **change})
