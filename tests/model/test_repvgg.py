"""RepVGG: the branches it trains with, and the single convolutions that do the same."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from leaves import composed
from speaker_id import build
from speaker_id.checkpoint import LoadedModel
from speaker_id.evaluation.embedding import Crop, CroppedModel
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.extraction import forward_pass
from speaker_id.model.embedding import EmbeddingModel, Projection, deployed
from speaker_id.model.repvgg import RepVGG, RepVGGBlock
from speaker_id.pooling import StatisticsPooling

SIZES: dict[str, Any] = {"channels": [4, 6, 8], "num_blocks": [2, 1, 2]}


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


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_deployed_it_has_the_parameters_and_multiplications_that_wespeaker_publishes() -> None:
    """6.26 million and 4.65 G at 80 bins and 200 frames are the deployed form; in training there are 9 % more."""
    config = composed("model=repvgg_a0")
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
        assert num_parameters(model) == 6_833_792
        model.backbone = model.backbone.fused().eval()
        assert num_parameters(model) == 6_264_352 == pytest.approx(6.26e6, rel=0.002)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.backbone(torch.zeros(1, 80, 200))
    assert counter.get_total_flops() / 2e9 == pytest.approx(4.65, rel=0.002)


def test_every_deployed_stage_has_the_parameters_counted_by_hand() -> None:
    with torch.device("meta"):
        network = RepVGG(80, channels=[32, 64, 128, 256], num_blocks=[3, 4, 23, 3]).fused()
    assert num_parameters(network.stem) == 9 * 32 + 32
    assert [num_parameters(stage) for stage in network.stages.children()] == [
        3 * (9 * 32 * 32 + 32),
        9 * 32 * 64 + 3 * 9 * 64 * 64 + 4 * 64,
        9 * 64 * 128 + 22 * 9 * 128 * 128 + 23 * 128,
        9 * 128 * 256 + 2 * 9 * 256 * 256 + 3 * 256,
    ]
    assert network.out_dim == 256 * 10


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (6, 2), (4, 1)])
def test_a_block_sums_its_normalised_branches(in_channels: int, stride: int) -> None:
    block = RepVGGBlock(in_channels, 6, stride=stride).train()
    maps = noise(3, in_channels, 9, 12)

    def normalised(inputs: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        return functional.batch_norm(inputs, None, None, norm.weight, norm.bias, training=True)

    expected = normalised(functional.conv2d(maps, block.conv3.weight, stride=stride, padding=1), block.norm3)
    expected = expected + normalised(functional.conv2d(maps, block.conv1.weight, stride=stride), block.norm1)
    if block.norm0 is not None:
        expected = expected + normalised(maps, block.norm0)
    assert (block.norm0 is not None) == (in_channels == 6 and stride == 1)
    torch.testing.assert_close(block(maps), expected.relu())


def test_a_block_fuses_to_the_kernel_and_bias_worked_by_hand() -> None:
    block = RepVGGBlock(1, 1, stride=1)
    with torch.no_grad():
        block.conv3.weight.copy_(torch.arange(9.0).view(1, 1, 3, 3))
        block.conv1.weight.fill_(5.0)
        for norm, weight, bias, mean, variance in (
            (block.norm3, 2.0, 1.0, 3.0, 4.0),
            (block.norm1, 3.0, 10.0, 2.0, 9.0),
            (block.norm0, 4.0, 100.0, 8.0, 16.0),
        ):
            assert norm is not None
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.eps = 0.0
            norm.weight.fill_(weight)
            norm.bias.fill_(bias)
            norm.running_mean.fill_(mean)
            norm.running_var.fill_(variance)
    conv: Any = block.fused()[0]
    # every weight over its deviation is 1: the kernels add up, 4 + 5 + 1 in the middle; biases 1 - 3, 10 - 2, 100 - 8
    assert conv.weight.flatten().tolist() == [0.0, 1.0, 2.0, 3.0, 10.0, 5.0, 6.0, 7.0, 8.0]
    assert conv.bias.tolist() == [98.0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_fused_gives_what_the_branches_give(dtype: torch.dtype, tolerance: float) -> None:
    network = unlike(RepVGG(20, **SIZES)).to(dtype)
    features = noise(2, 20, 31).to(dtype)
    expected = network(features)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(network.fused()(features), expected, atol=tolerance, rtol=tolerance)


def test_fused_leaves_the_network_as_it_was_and_itself_fuses_to_the_same() -> None:
    network = RepVGG(20, **SIZES).train()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    fused = network.fused()
    features = noise(2, 20, 31)
    torch.testing.assert_close(fused(features), fused.fused()(features), atol=0, rtol=0)
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name])
    torch.testing.assert_close(fused(features), network.eval()(features), atol=1e-4, rtol=1e-4)  # training or not


def test_fused_is_one_3x3_convolution_a_block_and_nothing_that_learns_beside() -> None:
    learning = [layer for layer in RepVGG(20, **SIZES).fused().modules() if [*layer.parameters(recurse=False)]]
    assert len(learning) == 1 + 2 + 1 + 2
    assert all(isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) for layer in learning)


def test_what_is_used_is_the_fused_network_and_gives_the_same_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = unlike(RepVGG(20, **SIZES))
    pooling = StatisticsPooling(backbone.out_dim)
    model = EmbeddingModel(backbone, pooling, Projection(pooling.out_dim, dim=6, input_norm=False)).eval()
    features = noise(2, 20, 31)
    expected = model(features)
    monkeypatch.delattr(RepVGGBlock, "forward")  # nothing but the fused form can run
    torch.testing.assert_close(deployed(model)(features), expected, atol=1e-3, rtol=1e-3)
    assert model.backbone is backbone


def test_whoever_embeds_uses_the_fused_network(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed("model=repvgg_a0", "model.backbone.channels=[4,4,4]", "model.backbone.num_blocks=[1,1,1]")
    feature = build.feature(build.plain(config.feature))
    model = build.embedding_model(build.plain(config.model), build.plain(config.pooling), int(feature.out_dim))
    loaded = LoadedModel(feature, unlike(model), None, {}, [], "")
    waveform = noise(16_000)
    with torch.inference_mode():
        expected = functional.normalize(model(feature(waveform[None])), dim=-1)
    monkeypatch.delattr(RepVGGBlock, "forward")
    (from_recordings,) = ModelEmbedder(loaded)([waveform.numpy()])
    views = CroppedModel(feature, model, Crop("whole", 3.0, 1))
    whole = forward_pass(loaded._replace(feature=nn.Identity(), embedding_model=views), torch.device("cpu"))
    raw = torch.from_numpy(forward_pass(loaded, torch.device("cpu"))(waveform[None]))
    for row in (torch.from_numpy(from_recordings), torch.from_numpy(whole(waveform[None]))[0], raw[0]):
        torch.testing.assert_close(functional.normalize(row, dim=-1), expected[0], atol=1e-3, rtol=1e-3)


def test_channels_last_changes_neither_numbers_nor_gradients() -> None:
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = RepVGG(20, **SIZES).double().to(memory_format=layout)
        result = network(noise(3, 20, 17).double())
        (result * noise(*result.shape)).sum().backward()
        gradients.append([result, *(parameter.grad for parameter in network.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1])
