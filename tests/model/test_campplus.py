"""CAM++'s parts, worked by hand, and its size. The published weights are in tests/pretrained."""

from typing import Any

import pytest
import torch
from torch import nn

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.campplus import CamPlusPlus, DenseBlock, DenseLayer, FrequencyBlock, Head, MaskedConv

SIZES: dict[str, Any] = {
    "head_channels": 4,
    "channels": 16,
    "growth": 8,
    "bottleneck": 16,
    "num_layers": [2, 3, 2],
    "dilations": [1, 2, 2],
    "segment_frames": 10,
}


def frames(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_leaf_has_the_published_7_18_million_parameters() -> None:
    config = composed("model=campplus")
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    num = sum(parameter.numel() for parameter in model.parameters())
    assert num == 7_176_224
    assert num == pytest.approx(7.18e6, rel=0.02)
    assert model.out_dim == 512


@pytest.mark.parametrize(("num_frames", "halved"), [(1, 1), (2, 1), (61, 31), (200, 100)])
def test_it_halves_the_frames_and_any_number_of_bins_passes(num_frames: int, halved: int) -> None:
    for num_bins in (7, 24, 81):
        network = CamPlusPlus(num_bins, **SIZES).eval()
        assert network(frames(2, num_bins, num_frames)).shape == (2, network.out_dim, halved)


def test_blocks_grow_by_their_layers_and_transitions_halve() -> None:
    # 16 + 2 * 8 = 32 -> 16, + 3 * 8 = 40 -> 20, + 2 * 8 = 36 -> 18
    network = CamPlusPlus(24, **SIZES)
    assert [block.transition[-1].out_channels for block in network.blocks] == [16, 20, 18]
    assert network.out_dim == 18


def test_the_head_halves_frequency_three_times_and_keeps_time() -> None:
    head = Head(24, channels=4).eval()
    assert head.out_dim == 12
    assert head(frames(2, 24, 30)).shape == (2, 12, 30)


def test_the_heads_output_has_the_channels_first_and_then_the_frequencies() -> None:
    head = Head(16, channels=3).eval()
    inputs = frames(1, 16, 5)
    torch.testing.assert_close(head(inputs).view(1, 3, 2, 5), head.layers(inputs.unsqueeze(1)))


def test_a_frequency_block_is_a_residual_under_a_relu() -> None:
    block = FrequencyBlock(4, stride=1).eval()
    inputs = frames(2, 4, 6, 7)
    torch.testing.assert_close(block(inputs), (inputs + block.branch(inputs)).relu())
    strided = FrequencyBlock(4, stride=2).eval()
    torch.testing.assert_close(strided(inputs), (strided.shortcut(inputs) + strided.branch(inputs)).relu())
    assert strided(inputs).shape == (2, 4, 3, 7)


def context_by_loops(frames: torch.Tensor, segment: int) -> torch.Tensor:
    """Equations 2 to 4 as they stand: each frame's context is the recording's mean plus its own segment's."""
    context = torch.empty_like(frames)
    for t in range(frames.shape[-1]):
        first = t // segment * segment
        context[..., t] = frames.mean(dim=-1) + frames[..., first : first + segment].mean(dim=-1)
    return context


@pytest.mark.parametrize("num_frames", [1, 9, 10, 11, 20, 47])
def test_the_mask_of_a_frame_follows_from_the_means_of_recording_and_segment(num_frames: int) -> None:
    layer = MaskedConv(6, 3, dilation=2, segment_frames=10).eval()
    inputs = frames(2, 6, num_frames)
    expected = layer.conv(inputs) * layer.mask(context_by_loops(inputs, 10))
    torch.testing.assert_close(layer(inputs), expected)


def test_the_mask_of_two_segments_by_hand() -> None:
    """One channel, segments [1, 3] and [2]: means 2 and 2, of all 2, so that both contexts are 4."""
    layer = MaskedConv(2, 1, dilation=1, segment_frames=2).eval()
    first, last = layer.mask[0], layer.mask[2]
    assert isinstance(first, nn.Conv1d)
    assert isinstance(last, nn.Conv1d)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, 0, 1] = 1.0  # passes the first channel
        first.weight.copy_(torch.tensor([[[0.5], [0.0]]]))
        first.bias.fill_(-1.0)  # 0.5 * 4 - 1 = 1
        last.weight.fill_(3.0)
        last.bias.fill_(-2.0)  # 3 * 1 - 2 = 1
    inputs = torch.tensor([[[1.0, 3.0, 2.0], [7.0, -5.0, 9.0]]])
    expected = torch.tensor([[[1.0, 3.0, 2.0]]]) * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(layer(inputs), expected)


def test_a_dense_layer_keeps_what_came_in_and_appends() -> None:
    layer = DenseLayer(6, 2, 4, dilation=1, segment_frames=10).eval()
    inputs = frames(2, 6, 15)
    kept = inputs.clone()
    outputs = layer(inputs)
    assert torch.equal(outputs[:, :6], kept)
    assert torch.equal(inputs, kept)  # the ReLUs in place work on copies
    torch.testing.assert_close(outputs[:, 6:], layer.masked(layer.squeeze(inputs)))


def test_every_layer_of_a_block_sees_the_outputs_of_all_before() -> None:
    block = DenseBlock(6, 2, 4, num_layers=3, dilation=1, segment_frames=10)
    assert [layer.squeeze[0].num_features for layer in block.layers] == [6, 8, 10]
    assert block.transition[-1].in_channels == 12


def test_the_dilations_are_the_blocks() -> None:
    network = CamPlusPlus(24, **{**SIZES, "dilations": [1, 2, 5]})
    dilations = [{layer.masked.conv.dilation for layer in block.layers} for block in network.blocks]
    assert dilations == [{(1,)}, {(2,)}, {(5,)}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dilations": [1, 2]}, r"one positive number for each block, not \[2, 3, 2\] and \[1, 2\]"),
        ({"num_layers": [], "dilations": []}, "one positive number for each block"),
        ({"num_layers": [2, 0, 2]}, "one positive number for each block"),
        ({"segment_frames": 0}, "segment_frames=0 must be positive"),
    ],
)
def test_sizes_that_do_not_fit_say_why(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        CamPlusPlus(24, **{**SIZES, **change})
