"""What ReDimNet's stages are built of: 2-D blocks over frequency and time, and the 1-D block over time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.errors import ConfigError

NORM_EPS = 1e-6


def grouped_conv(in_channels: int, out_channels: int, *, group_size: int) -> nn.Conv2d:
    """3x3 convolution in `out_channels // group_size` groups: (B, C, F, T) -> (B, C', F, T)."""
    groups = out_channels // group_size
    if groups == 0 or out_channels % groups:
        raise ConfigError(
            f"model.backbone.group_size={group_size} does not split the {out_channels} channels of a stage into equal "
            "groups; choose a divisor of model.backbone.channels"
        )
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, groups=groups, bias=False)


class ConvNextBlock(nn.Module):
    """Grouped 3x3 convolution, normalisation, GELU, 1x1 convolution, residual: (B, C, F, T) -> (B, C, F, T).

    Like ConvNeXt's (Liu et al. 2022, arXiv 2201.03545), no wider inside than outside.
    """

    def __init__(self, channels: int, *, group_size: int) -> None:
        super().__init__()
        self.conv = grouped_conv(channels, channels, group_size=group_size)
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = maps + self.pointwise(functional.gelu(self.norm(self.conv(maps))))
        return result


class ResNetBlock(nn.Module):
    """Twice a grouped 3x3 and a 1x1 convolution, a gate, residual, ReLU: (B, C, F, T) -> (B, C, F, T).

    In the first half the ReLU comes before the normalisation, as in the authors' networks.
    """

    def __init__(self, channels: int, *, group_size: int, gate: nn.Module) -> None:
        super().__init__()
        self.conv1 = grouped_conv(channels, channels, group_size=group_size)
        self.pointwise1 = nn.Conv2d(channels, channels, kernel_size=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = grouped_conv(channels, channels, group_size=group_size)
        self.pointwise2 = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.gate = gate
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        hidden = self.norm1(self.relu(self.pointwise1(self.conv1(maps))))
        residual = self.gate(self.norm2(self.pointwise2(self.conv2(hidden))))
        result: Tensor = self.relu(maps + residual)
        return result


class FrequencyGate(nn.Module):
    """Scales each band by a gate computed from all bands' means (fwSE): (B, C, F, T) -> (B, C, F, T).

    Thienpondt et al., Interspeech 2021, arXiv 2104.02370.
    """

    def __init__(self, num_bins: int, *, bottleneck: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(num_bins, bottleneck)
        self.excite = nn.Linear(bottleneck, num_bins)

    def forward(self, maps: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(maps.mean(dim=(1, 3))))))
        return maps * gate[:, None, :, None]


def make_block(kind: str, channels: int, num_bins: int, *, group_size: int) -> ConvNextBlock | ResNetBlock:
    """The 2-D block that `model.backbone.block` names; raises ConfigError for a name that does not exist."""
    match kind:
        case "convnext":
            return ConvNextBlock(channels, group_size=group_size)
        case "resnet":
            return ResNetBlock(channels, group_size=group_size, gate=nn.Identity())
        case "resnet_se":
            gate = FrequencyGate(num_bins, bottleneck=min(64, max(32, channels)))
            return ResNetBlock(channels, group_size=group_size, gate=gate)
    raise ConfigError(f"model.backbone.block={kind!r} does not exist; there are: convnext, resnet, resnet_se")


class Narrowing(nn.Sequential):
    """From the channels inside a wider stage to those of its output: (B, eC, F, T) -> (B, C, F, T)."""

    def __init__(self, in_channels: int, out_channels: int, *, group_size: int) -> None:
        super().__init__(
            grouped_conv(in_channels, out_channels, group_size=group_size),
            nn.BatchNorm2d(out_channels),
            nn.GELU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
        )


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels at each point: (B, C, ..., T) -> (B, C, ..., T)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, points: Tensor) -> Tensor:
        return super().forward(points.movedim(1, -1)).movedim(-1, 1)


class TimeContext(nn.Module):
    """Convolutions over time, then attention, at a reduced width, residual: (B, C, T) -> (B, C, T).

    The 1-D block that the authors call conv+att; `hidden` is the reduced width.
    """

    def __init__(self, channels: int, hidden: int, *, kernel_sizes: Sequence[int], num_heads: int) -> None:
        super().__init__()
        if any(size % 2 == 0 for size in kernel_sizes):
            raise ConfigError(f"model.backbone.time_kernel_sizes={list(kernel_sizes)} must be odd")
        self.reduce = nn.Conv1d(channels, hidden, kernel_size=1)
        self.norm = ChannelNorm(hidden)
        self.convs = nn.Sequential(*(TimeBlock(hidden, kernel_size=size) for size in kernel_sizes))
        self.attention = AttentionLayer(hidden, num_heads=num_heads)
        self.expand = nn.Conv1d(hidden, channels, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.convs(self.norm(self.reduce(frames)))
        result: Tensor = frames + self.expand(self.attention(hidden))
        return result


class TimeBlock(nn.Module):
    """Depthwise convolution over time, normalisation, GELU, 1x1 convolution, residual: (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int, *, kernel_size: int) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = nn.Conv1d(channels, channels, kernel_size, padding=padding, groups=channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, channels, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        result: Tensor = frames + self.pointwise(functional.gelu(self.norm(self.conv(frames))))
        return result


class AttentionLayer(nn.Module):
    """Transformer encoder layer, normalised after each residual, blind to positions: (B, C, T) -> (B, C, T).

    Vaswani et al. 2017, arXiv 1706.03762; its feed-forward part is as wide as its input and uses GELU's tanh form.
    """

    def __init__(self, channels: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)
        self.norm1 = nn.LayerNorm(channels, eps=NORM_EPS)
        self.feed_in = nn.Linear(channels, channels)
        self.feed_out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels, eps=NORM_EPS)

    def forward(self, frames: Tensor) -> Tensor:
        points = frames.transpose(1, 2)  # (B, T, C)
        points = self.norm1(points + self.output(self.attend(points)))
        hidden = functional.gelu(self.feed_in(points), approximate="tanh")
        result: Tensor = self.norm2(points + self.feed_out(hidden))
        return result.transpose(1, 2)

    def attend(self, points: Tensor) -> Tensor:
        """What the heads gathered, side by side: (B, T, C) -> (B, T, C)."""
        projected = self.query_key_value(points).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # each (B, heads, T, C / heads)
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
