"""ResNetSE: its size as ppvector and mvector publish it, and what its blocks compute."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.resnet_se import MapExcitation, ResNetSE, SEBottleneck

SIZES: dict[str, Any] = {"channels": [4, 6, 8], "num_blocks": [1, 2, 1], "expansion": 2, "reduction": 4}


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(*overrides: str) -> Any:
    config = composed("model=resnet_se", *overrides)
    with torch.device("meta"):
        return build.embedding_model(config.model, config.pooling, 80)


def test_with_its_leafs_pooling_it_has_the_published_7_8_million_parameters() -> None:
    """The attention sees frames alone; with global context it would be 9.1."""
    model = on_meta()
    assert num_parameters(model) == 7_812_536 == pytest.approx(7.8e6, rel=0.005)
    assert model.backbone.out_dim == 512 * 10
    assert model.out_dim == 192


def test_global_context_adds_a_matrix_of_128_rows() -> None:
    model = on_meta("pooling=attentive_statistics")
    assert num_parameters(model) == 7_812_536 + 2 * 5120 * 128


def test_every_stage_has_the_parameters_counted_by_hand() -> None:
    backbone = on_meta().backbone
    expected, before = [], 32
    for width, count in ((32, 3), (64, 4), (128, 6), (256, 3)):
        wide = 2 * width
        excitation = wide * wide // 8 + wide // 8 + wide // 8 * wide + wide
        block = wide * width + 9 * width * width + width * wide + 2 * (2 * width + wide) + excitation
        shortcut = before * wide + 2 * wide
        expected.append(count * block - (wide - before) * width + shortcut)
        before = wide
    assert [num_parameters(stage) for stage in backbone.stages] == expected
    assert num_parameters(backbone.stem) == 9 * 32 + 2 * 32


def test_the_numbers_are_options() -> None:
    model = on_meta("model.backbone.channels=[16,32,64,128]", "model.backbone.expansion=4", "model.projection.dim=512")
    assert model.backbone.out_dim == 4 * 128 * 10
    assert model.out_dim == 512


def test_a_gate_is_a_sigmoid_of_the_means_over_frequency_and_time() -> None:
    layer = MapExcitation(2, bottleneck=2)
    with torch.no_grad():
        layer.squeeze.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        layer.squeeze.bias.copy_(torch.tensor([0.5, 0.5]))
        layer.excite.weight.copy_(torch.tensor([[1.0, 9.0], [-2.0, 9.0]]))
        layer.excite.bias.copy_(torch.tensor([0.0, 1.0]))
    # means 2 and 1, squeezed 2 - 1 + 0.5 = 1.5 and, by the ReLU, 1 - 2 + 0.5 -> 0
    maps = torch.tensor([[[[1.0, 3.0, 1.0], [3.0, 4.0, 0.0]], [[0.0, 2.0, 1.0], [1.0, 1.0, 1.0]]]])
    gates = torch.tensor([1.5, -2.0]).sigmoid().view(1, 2, 1, 1)  # 1.5, and 1 - 2 * 1.5
    torch.testing.assert_close(layer(maps), maps * gates)
    torch.testing.assert_close(layer(maps.to(memory_format=torch.channels_last)), maps * gates)


@pytest.mark.parametrize(("in_channels", "stride"), [(12, 1), (12, 2), (5, 1)])
def test_a_block_gates_its_convolutions_before_the_sum(in_channels: int, stride: int) -> None:
    block: Any = SEBottleneck(in_channels, 6, stride=stride, expansion=2, reduction=4).train()
    maps = noise(4, in_channels, 7, 9)

    def conv_norm(inputs: torch.Tensor, conv: Any, norm: Any, stride: int = 1) -> torch.Tensor:
        outputs = functional.conv2d(inputs, conv.weight, stride=stride, padding=conv.weight.shape[-1] // 2)
        return functional.batch_norm(outputs, None, None, norm.weight, norm.bias, training=True)

    conv1, norm1, _, conv2, norm2, _, conv3, norm3, excitation = block.branch
    inner = conv_norm(maps, conv1, norm1).relu()
    inner = conv_norm(inner, conv2, norm2, stride).relu()
    inner = conv_norm(inner, conv3, norm3)
    squeezed = excitation.squeeze(inner.mean(dim=(2, 3))).relu()
    inner = inner * excitation.excite(squeezed).sigmoid()[:, :, None, None]
    assert squeezed.shape == (4, 12 // 4)
    shortcut = maps if stride == 1 and in_channels == 12 else conv_norm(maps, *block.shortcut, stride)
    torch.testing.assert_close(block(maps), (inner + shortcut).relu())


def test_channels_last_changes_neither_numbers_nor_gradients() -> None:
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = ResNetSE(20, **SIZES).double().to(memory_format=layout)
        result = network(noise(3, 20, 17).double())
        (result * noise(*result.shape)).sum().backward()
        gradients.append([result, *(parameter.grad for parameter in network.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_widths_that_the_reduction_does_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"channels=\[4, 5, 8\] times expansion=2 must be multiples of reduction=4"):
        ResNetSE(20, **{**SIZES, "channels": [4, 5, 8]})
