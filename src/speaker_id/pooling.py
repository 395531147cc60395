"""Poolings: what a recording of any length becomes one vector by, (B, C, T) -> (B, D)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.errors import ConfigError

VARIANCE_FLOOR = 1e-8  # the square root has no slope at 0


class AveragePooling(nn.Module):
    """Mean over time (TAP): (B, C, T) -> (B, C)."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, frames: Tensor) -> Tensor:
        return frames.mean(dim=-1, dtype=torch.float32)


class MaxPooling(nn.Module):
    """Largest value over time: (B, C, T) -> (B, C)."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, frames: Tensor) -> Tensor:
        return frames.amax(dim=-1).float()


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time (TSP): (B, C, T) -> (B, 2C). Snyder et al. 2018."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.out_dim = 2 * in_dim

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat(mean_and_deviation(frames), dim=-1)


class SelfAttentivePooling(nn.Module):
    """Mean under one attention for all channels (SAP): (B, C, T) -> (B, C). Cai et al. 2018."""

    def __init__(self, in_dim: int, *, bottleneck: int) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.frame_layer = nn.Conv1d(in_dim, bottleneck, kernel_size=1)
        self.attention = nn.Conv1d(bottleneck, 1, kernel_size=1, bias=False)  # the softmax would cancel a bias

    def forward(self, frames: Tensor) -> Tensor:
        attention = self.attention(torch.tanh(self.frame_layer(frames)))
        with torch.autocast(device_type=frames.device.type, enabled=False):
            return _weighted_mean(frames, functional.softmax(attention, dim=-1))


class AttentiveStatisticsPooling(nn.Module):
    """Mean and deviation under an attention of each channel's own (ASP): (B, C, T) -> (B, 2C).

    Okabe et al. 2018; `global_context` adds the recording's mean and deviation to what the attention sees
    (Desplanques et al. 2020, eq. 1 to 4).
    """

    def __init__(self, in_dim: int, *, bottleneck: int, global_context: bool) -> None:
        super().__init__()
        self.out_dim = 2 * in_dim
        self.frame_layer = nn.Conv1d(in_dim, bottleneck, kernel_size=1)
        # The context is the same in every frame: multiplying it once and broadcasting the product gives the same
        # numbers as a convolution over [frames, mean, deviation], at a third of the work.
        self.context_layer = nn.Linear(2 * in_dim, bottleneck, bias=False) if global_context else None
        self.attention = nn.Conv1d(bottleneck, in_dim, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.frame_layer(frames)
        if self.context_layer is not None:
            context = torch.cat(mean_and_deviation(frames), dim=-1)
            hidden = hidden + self.context_layer(context).unsqueeze(-1)
        return torch.cat(mean_and_deviation(frames, self.attention(torch.tanh(hidden))), dim=-1)


class MultiHeadAttentivePooling(nn.Module):
    """Mean and deviation under an attention of each head's own (MHASTP): (B, C, T) -> (B, 2C).

    The heads split the channels among them, and each gives its frames one scalar attention (India et al. 2019). It has
    two layers with a tanh between, as in self-attentive pooling, and pools deviations too, as in attentive statistics
    pooling; the paper's has one layer and pools means alone. Raises ConfigError unless `heads` divides C.
    """

    def __init__(self, in_dim: int, *, heads: int, bottleneck: int) -> None:
        super().__init__()
        if heads < 1 or in_dim % heads:
            raise ConfigError(f"pooling.heads={heads} must divide the {in_dim} channels that the backbone gives")
        self.out_dim = 2 * in_dim
        self.heads = heads
        self.frame_layer = nn.Conv1d(in_dim, heads * bottleneck, kernel_size=1, groups=heads)
        self.attention = nn.Conv1d(heads * bottleneck, heads, kernel_size=1, groups=heads, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        attention = self.attention(torch.tanh(self.frame_layer(frames)))
        by_head = torch.unflatten(frames, 1, (self.heads, -1))  # (B, heads, C / heads, T)
        mean, deviation = mean_and_deviation(by_head, attention.unsqueeze(2))
        return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=-1)


def mean_and_deviation(frames: Tensor, attention: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Over time, each frame weighing alike or by the softmax of `attention` (B, C, T): (B, C, T) -> two (B, C) float32.

    Channels may be several dimensions; an attention that some of them share has size 1 there. The frames keep their
    type, so that half-precision training moves half the memory; the sums are float32.
    """
    with torch.autocast(device_type=frames.device.type, enabled=False):
        if attention is None:
            mean = frames.mean(dim=-1, dtype=torch.float32)
            variance = _squares(frames, mean).mean(dim=-1, dtype=torch.float32)
        else:
            weights = functional.softmax(attention, dim=-1)
            mean = _weighted_mean(frames, weights)
            variance = _weighted_mean(_squares(frames, mean), weights)
        return mean, variance.clamp_min(VARIANCE_FLOOR).sqrt()


def _weighted_mean(frames: Tensor, weights: Tensor) -> Tensor:
    return (weights * frames).sum(dim=-1, dtype=torch.float32)


def _squares(frames: Tensor, mean: Tensor) -> Tensor:
    return (frames - mean.unsqueeze(-1).to(frames.dtype)).square()
