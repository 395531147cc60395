"""ECAPA-TDNN: squeeze-excitation, Res2Net branches and multi-layer aggregation over a TDNN."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from speaker_id.errors import ConfigError
from speaker_id.model.tdnn import ConvReluNorm


class Ecapa(nn.Module):
    """ECAPA-TDNN's frame layers: (B, F, T) -> (B, C, T). Desplanques et al. 2020, arXiv 2005.07143.

    `channels` is the width of the blocks (512 or 1024 in the paper), `out_channels` of the aggregation.
    Zero padding inside the convolutions keeps T.
    """

    TINY: ClassVar = {"channels": 16, "out_channels": 24, "scale": 4, "se_bottleneck": 8}
    min_frames = 1

    def __init__(
        self,
        in_dim: int,
        *,
        channels: int,
        out_channels: int,
        kernel_sizes: Sequence[int],
        dilations: Sequence[int],
        scale: int,
        se_bottleneck: int,
    ) -> None:
        super().__init__()
        if channels % scale:
            raise ConfigError(f"model.backbone.channels={channels} must be a multiple of scale={scale}")
        if len(kernel_sizes) != len(dilations) or not kernel_sizes:
            raise ConfigError(
                "model.backbone.kernel_sizes and dilations need one entry for each layer, the first included"
            )
        if len(kernel_sizes) < 2 or any(kernel % 2 == 0 for kernel in kernel_sizes):
            raise ConfigError(
                f"model.backbone.kernel_sizes={list(kernel_sizes)} must be odd, and hold one block after the first"
            )
        self.out_dim = out_channels
        self.layer1 = ConvReluNorm(in_dim, channels, kernel_size=kernel_sizes[0], dilation=dilations[0])
        self.blocks = nn.ModuleList(
            SERes2Block(channels, kernel_size=kernel, dilation=dilation, scale=scale, se_bottleneck=se_bottleneck)
            for kernel, dilation in zip(kernel_sizes[1:], dilations[1:], strict=True)
        )
        self.aggregation = nn.Conv1d(channels * len(self.blocks), out_channels, kernel_size=1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.layer1(features)
        outputs = []
        for block in self.blocks:
            hidden = block(hidden)
            outputs.append(hidden)
        aggregated: Tensor = self.activation(self.aggregation(torch.cat(outputs, dim=1)))
        return aggregated


class SERes2Block(nn.Module):
    """1x1 convolution, Res2Net convolution, 1x1 convolution, squeeze-excitation, residual: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, *, kernel_size: int, dilation: int, scale: int, se_bottleneck: int) -> None:
        super().__init__()
        self.expand = ConvReluNorm(channels, channels, kernel_size=1)
        self.res2 = Res2Conv(channels, kernel_size=kernel_size, dilation=dilation, scale=scale)
        self.merge = ConvReluNorm(channels, channels, kernel_size=1)
        self.excitation = SqueezeExcitation(channels, bottleneck=se_bottleneck)

    def forward(self, frames: Tensor) -> Tensor:
        result: Tensor = frames + self.excitation(self.merge(self.res2(self.expand(frames))))
        return result


class Res2Conv(nn.Module):
    """A ladder of narrow convolutions, each fed by its slice and the previous result: (B, C, T) -> (B, C, T).

    Gao et al. 2019, arXiv 1904.01169. The first slice passes unchanged.
    """

    def __init__(self, channels: int, *, kernel_size: int, dilation: int, scale: int) -> None:
        super().__init__()
        self.width = channels // scale
        self.convs = nn.ModuleList(
            ConvReluNorm(self.width, self.width, kernel_size=kernel_size, dilation=dilation) for _ in range(scale - 1)
        )

    def forward(self, frames: Tensor) -> Tensor:
        first, *slices = torch.split(frames, self.width, dim=1)
        outputs = [first]
        for conv, part in zip(self.convs, slices, strict=True):
            outputs.append(conv(part if len(outputs) == 1 else part + outputs[-1]))
        return torch.cat(outputs, dim=1)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from all channels' means: (B, C, T) -> (B, C, T). Hu et al. 2018."""

    def __init__(self, channels: int, *, bottleneck: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, bottleneck)
        self.excite = nn.Linear(bottleneck, channels)

    def forward(self, frames: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(frames.mean(dim=-1)))))
        return frames * gate.unsqueeze(-1)
