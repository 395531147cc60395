"""CAM++: a densely connected TDNN whose layers mask what the context says is no voice."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.errors import ConfigError

HEAD_STRIDE = 8  # the head halves the frequencies three times


class CamPlusPlus(nn.Module):
    """The frame layers of CAM++: (B, F, T) -> (B, C, T / 2), T / 2 rounded up. Wang et al. 2023, arXiv 2303.00332.

    A 2-D convolutional head, a TDNN layer that halves the frames, then blocks of `num_layers` densely connected layers
    with `growth` channels each; a transition after every block halves the channels.
    """

    TINY: ClassVar = {
        "head_channels": 8,
        "channels": 32,
        "growth": 16,
        "bottleneck": 32,
        "num_layers": [2, 2, 2],
        "segment_frames": 10,
    }
    min_frames = 1

    def __init__(
        self,
        in_dim: int,
        *,
        head_channels: int,
        channels: int,
        growth: int,
        bottleneck: int,
        num_layers: Sequence[int],
        dilations: Sequence[int],
        segment_frames: int,
    ) -> None:
        super().__init__()
        if len(num_layers) != len(dilations) or not num_layers or min(*num_layers, *dilations) < 1:
            raise ConfigError(
                "model.backbone.num_layers and dilations need one positive number for each block, not "
                f"{list(num_layers)} and {list(dilations)}"
            )
        if segment_frames < 1:
            raise ConfigError(f"model.backbone.segment_frames={segment_frames} must be positive")
        self.head = Head(in_dim, channels=head_channels)
        self.entry = nn.Sequential(
            nn.Conv1d(self.head.out_dim, channels, kernel_size=5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential()
        for count, dilation in zip(num_layers, dilations, strict=True):
            self.blocks.append(DenseBlock(channels, growth, bottleneck, count, dilation, segment_frames))
            channels = (channels + count * growth) // 2
        self.out_dim = channels
        self.exit = nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(inplace=True))
        for module in self.modules():
            if isinstance(module, nn.Conv1d):  # as the authors begin: torch's own would begin with hardly any masks
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        frames: Tensor = self.exit(self.blocks(self.entry(self.head(features))))
        return frames


class Head(nn.Module):
    """Residual 2-D convolutions that halve frequency three times and keep time: (B, F, T) -> (B, C F / 8, T)."""

    def __init__(self, in_dim: int, *, channels: int) -> None:
        super().__init__()
        self.out_dim = channels * -(-in_dim // HEAD_STRIDE)
        self.layers = nn.Sequential(
            *conv_norm(1, channels, kernel_size=3),
            nn.ReLU(inplace=True),
            FrequencyBlock(channels, stride=2),
            FrequencyBlock(channels, stride=1),
            FrequencyBlock(channels, stride=2),
            FrequencyBlock(channels, stride=1),
            *conv_norm(channels, channels, kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.layers(features.unsqueeze(1))
        return maps.flatten(1, 2)


class FrequencyBlock(nn.Module):
    """A residual block whose stride is over frequency alone: (B, C, F, T) -> (B, C, F / stride, T)."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *conv_norm(channels, channels, kernel_size=3, stride=stride),
            nn.ReLU(inplace=True),
            *conv_norm(channels, channels, kernel_size=3),
        )
        self.shortcut = conv_norm(channels, channels, kernel_size=1, stride=stride) if stride > 1 else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu_(self.branch(maps) + self.shortcut(maps))


class DenseBlock(nn.Module):
    """Dense layers, and a transition that halves the channels: (B, C, T) -> (B, (C + num_layers * growth) / 2, T)."""

    def __init__(
        self, channels: int, growth: int, bottleneck: int, num_layers: int, dilation: int, segment_frames: int
    ) -> None:
        super().__init__()
        widths = [channels + layer * growth for layer in range(num_layers + 1)]
        self.layers = nn.Sequential(
            *(DenseLayer(width, growth, bottleneck, dilation, segment_frames) for width in widths[:-1])
        )
        self.transition = norm_relu_conv(widths[-1], widths[-1] // 2)

    def forward(self, frames: Tensor) -> Tensor:
        halved: Tensor = self.transition(self.layers(frames))
        return halved


class DenseLayer(nn.Module):
    """Appends `growth` channels that see the bottleneck of all before: (B, C, T) -> (B, C + growth, T)."""

    def __init__(self, channels: int, growth: int, bottleneck: int, dilation: int, segment_frames: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            *norm_relu_conv(channels, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU(inplace=True)
        )
        self.masked = MaskedConv(bottleneck, growth, dilation=dilation, segment_frames=segment_frames)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat([frames, self.masked(self.squeeze(frames))], dim=1)


class MaskedConv(nn.Module):
    """A convolution under a mask computed from the context (section 2.3, eq. 2 to 6): (B, C, T) -> (B, C', T).

    The context of a frame is the mean of the whole recording plus the mean of its segment of `segment_frames`.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int, segment_frames: int) -> None:
        super().__init__()
        self.segment_frames = segment_frames
        self.conv = nn.Conv1d(in_channels, out_channels, 3, dilation=dilation, padding=dilation, bias=False)
        self.mask = nn.Sequential(
            nn.Conv1d(in_channels, in_channels // 2, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(in_channels // 2, out_channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        num_frames = frames.shape[-1]
        segments = functional.avg_pool1d(frames, self.segment_frames, self.segment_frames, ceil_mode=True)
        # The mask is one for a whole segment: computed once for each and repeated, not once for each frame.
        mask: Tensor = self.mask(frames.mean(dim=-1, keepdim=True) + segments)
        masked: Tensor = self.conv(frames) * mask.repeat_interleave(self.segment_frames, dim=-1)[..., :num_frames]
        return masked


def norm_relu_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    """Batch normalisation, ReLU, 1x1 convolution: (B, C, T) -> (B, C', T)."""
    return nn.Sequential(
        nn.BatchNorm1d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv1d(in_channels, out_channels, kernel_size=1, bias=False),
    )


def conv_norm(in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """Convolution strided over frequency alone, batch normalisation: (B, C, F, T) -> (B, C', F / stride, T)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride=(stride, 1), padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
