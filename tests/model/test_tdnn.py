"""The layer under all TDNNs, and the x-vector network built of it."""

import pytest
import torch

from speaker_id import build
from speaker_id.model.tdnn import ConvReluNorm
from speaker_id.model.xvector import XVector


def test_the_order_is_convolution_relu_normalisation() -> None:
    layer = ConvReluNorm(1, 1, kernel_size=1).eval()
    with torch.no_grad():
        layer.conv.weight.fill_(2.0)
        layer.conv.bias.fill_(-3.0)
        layer.norm.running_mean.fill_(1.0)
        layer.norm.running_var.fill_(4.0)
    # 2 x - 3 = -1, 1, 5; ReLU 0, 1, 5; minus 1, over 2
    result = layer(torch.tensor([[[1.0, 2.0, 4.0]]]))
    torch.testing.assert_close(result, torch.tensor([[[-0.5, 0.0, 2.0]]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kernel_size", "dilation", "reach"), [(5, 1, 2), (3, 2, 2), (3, 4, 4), (1, 1, 0)])
def test_a_layer_sees_its_context_and_no_more(kernel_size: int, dilation: int, reach: int) -> None:
    layer = ConvReluNorm(2, 3, kernel_size=kernel_size, dilation=dilation)
    frames = torch.randn(1, 2, 21, generator=torch.Generator().manual_seed(0), requires_grad=True)
    layer.conv(frames)[0, 0, 10].backward()
    assert frames.grad is not None
    seen = frames.grad[0].abs().sum(dim=0).nonzero().flatten().tolist()
    assert seen == list(range(10 - reach, 11 + reach, dilation))


def test_xvector_sees_seven_frames_to_each_side() -> None:
    """Contexts of table 1: [-2, 2], {-2, 0, 2}, {-3, 0, 3}, {0}, {0}: 2 + 2 + 3."""
    torch.manual_seed(0)
    network = XVector(3, channels=64, out_channels=64).eval()  # wide: a ReLU blocks some of the paths
    frames = torch.randn(1, 3, 31, requires_grad=True)
    network(frames)[..., 15].sum().backward()
    assert frames.grad is not None
    seen = frames.grad[0].abs().sum(dim=0).nonzero().flatten().tolist()
    assert (min(seen), max(seen)) == (8, 22)


@pytest.mark.parametrize("num_frames", [1, 7, 48, 300])
def test_xvector_keeps_the_number_of_frames(num_frames: int) -> None:
    network = XVector(20, channels=8, out_channels=12).eval()
    assert network.out_dim == 12
    assert network(torch.zeros(2, 20, num_frames)).shape == (2, 12, num_frames)


def test_xvector_with_statistics_has_the_paper_sized_parameters() -> None:
    config = build.compose("train", ["model=xvector", "pooling=statistics"])
    model = build.embedding_model(config.model, config.pooling, 80)
    # (5 80 + 1) 512 + 2 (3 512 + 1) 512 + (512 + 1) 512 + (512 + 1) 1500, then (3000 + 1) 512 + (512 + 1) 512,
    # and two for each of the 4 512 + 1500 + 512 normalised channels
    assert sum(parameter.numel() for parameter in model.parameters()) == 4_618_644
