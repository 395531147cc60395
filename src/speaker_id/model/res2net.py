"""Res2Net over the spectrogram, and the blocks that its successors share with it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from speaker_id.errors import ConfigError
from speaker_id.model.fusion import Addition
from speaker_id.model.resnet import conv_norm, plain


class Res2Net(nn.Module):
    """Res2Net's frame layers: (B, F, T) -> (B, C, T / 8) with four stages. Gao et al. 2019, arXiv 1904.01169.

    The form in use for speakers (WeSpeaker's "Res2Net34 base"): a 3x3 stem that keeps the size, strides in a block's
    first convolution, the residual blocks' ReLUs clipped at 20. Each stage after the first doubles the channels and
    halves F and T, rounded up. A slice of the first stage has `channels * base_width / 64` channels. Raises
    ConfigError if a slice would have none.
    """

    # 4: see StagedNetwork.TINY; the second stage begins with twice as many
    TINY: ClassVar = {"channels": 4, "num_blocks": [1, 2, 1, 1], "base_width": 64, "scale": 3}
    min_frames = 1

    def __init__(
        self, in_dim: int, *, channels: int, num_blocks: Sequence[int], base_width: int, scale: int, expansion: int
    ) -> None:
        super().__init__()
        if scale < 2:
            raise ConfigError(f"model.backbone.scale={scale} must be 2 or more: the last slice passes unchanged")
        self.stem = plain(1, channels, stride=1)
        stages = res2_stages(
            channels,
            num_blocks=num_blocks,
            fusions=[Addition] * len(num_blocks),
            base_width=base_width,
            scale=scale,
            num_convs=scale - 1,
            expansion=expansion,
        )
        self.stages = nn.Sequential(*stages)
        self.out_dim = flat_channels(in_dim, channels * expansion, num_stages=len(num_blocks))

    def forward(self, features: Tensor) -> Tensor:
        image: Tensor = self.stages(self.stem(features.unsqueeze(1)))
        return image.flatten(1, 2)


class Res2Block(nn.Module):
    """1x1 convolution, a ladder of narrow 3x3 ones, 1x1 convolution, residual: (B, C, F, T) -> (B, C', F', T').

    The ladder convolves the first `num_convs` of the `scale` slices, each joined by `fusion` with the result before;
    the others pass unchanged.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        scale: int,
        num_convs: int,
        fusion: Callable[[int], nn.Module],
        stride: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.reduce = conv_norm(in_channels, width * scale, kernel_size=1, stride=stride)
        self.convs = nn.ModuleList(conv_norm(width, width, kernel_size=3) for _ in range(num_convs))
        self.fusions = nn.ModuleList(fusion(width) for _ in range(num_convs - 1))
        self.expand = conv_norm(width * scale, out_channels, kernel_size=1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_norm(in_channels, out_channels, kernel_size=1, stride=stride)
        self.activation = nn.Hardtanh(0.0, 20.0, inplace=True)

    def forward(self, image: Tensor) -> Tensor:
        slices = torch.split(self.activation(self.reduce(image)), self.width, dim=1)
        outputs: list[Tensor] = []
        for number, conv in enumerate(self.convs):
            part = self.fusions[number - 1](outputs[-1], slices[number]) if number else slices[0]
            outputs.append(self.activation(conv(part)))
        hidden = self.expand(torch.cat([*outputs, *slices[len(outputs) :]], dim=1))
        hidden += self.shortcut(image)
        result: Tensor = self.activation(hidden)
        return result


def res2_stages(
    channels: int,
    *,
    num_blocks: Sequence[int],
    fusions: Sequence[Callable[[int], nn.Module]],
    base_width: int,
    scale: int,
    num_convs: int,
    expansion: int,
) -> list[nn.Sequential]:
    """One sequence of blocks for each entry of `num_blocks`; `fusions` names the fusion of each stage."""
    if not num_blocks or min(num_blocks) < 1:
        raise ConfigError(f"model.backbone.num_blocks={list(num_blocks)} must hold 1 or more for each stage")
    if expansion < 1:
        raise ConfigError(f"model.backbone.expansion={expansion} must be 1 or more")
    if channels * base_width < 64:
        raise ConfigError(
            f"model.backbone.channels={channels} with base_width={base_width} leaves a slice no channel: "
            "their product must be 64 or more"
        )
    stages: list[nn.Sequential] = []
    in_channels = channels
    for number, (length, fusion) in enumerate(zip(num_blocks, fusions, strict=True)):
        out_channels = expansion * (channels << number)
        blocks = []
        for position in range(length):
            block = Res2Block(
                in_channels,
                out_channels,
                width=(channels << number) * base_width // 64,
                scale=scale,
                num_convs=num_convs,
                fusion=fusion,
                stride=2 if number > 0 and position == 0 else 1,
            )
            blocks.append(block)
            in_channels = out_channels
        stages.append(nn.Sequential(*blocks))
    return stages


def flat_channels(in_dim: int, channels: int, *, num_stages: int) -> int:
    """C of the last stage's image once frequency is flattened into it; `channels` are the first stage's."""
    halvings = 1 << (num_stages - 1)
    return channels * halvings * -(-in_dim // halvings)
