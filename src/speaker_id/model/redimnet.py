"""ReDimNet: one signal, read in turn as a map over frequency and time and as channels over time."""

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.errors import ConfigError
from speaker_id.model.redimnet_blocks import ChannelNorm, Narrowing, TimeContext, make_block


class ReDimNet(nn.Module):
    """(B, F, T) -> (B, C F, T). Yakovlev et al., Interspeech 2024, arXiv 2407.18223.

    A stage reads its input as a map of C channels and F bins, divides F and multiplies C by its stride, runs 2-D
    blocks over the map and a 1-D block over the frames it becomes again. C F is the same everywhere, so a learned
    weighted sum of all outputs so far, each channel with its own weights, feeds the next stage, and the last sum is
    the result.

    `channels` is the first C. Sequences have one entry a stage: `strides` over frequency, `num_blocks` of the kind
    `block`, `expansions` (C inside the stage over C of its output) and `reductions` (C F over the width of the 1-D
    block, which is rounded down to a multiple of `num_heads`; None without one). A number of bins that the strides do
    not divide is padded with zeros above the highest.
    """

    TINY: ClassVar = {
        "channels": 4,
        "group_size": 2,
        "strides": [1, 3],
        "num_blocks": [1, 1],
        "expansions": [1, 2],
        "reductions": [None, 6],
        "time_kernel_sizes": [3, 7],
        "num_heads": 2,
    }
    min_frames = 1

    def __init__(
        self,
        in_dim: int,
        *,
        channels: int,
        block: str,
        group_size: int,
        strides: Sequence[int],
        num_blocks: Sequence[int],
        expansions: Sequence[int],
        reductions: Sequence[int | None],
        time_kernel_sizes: Sequence[int],
        num_heads: int,
    ) -> None:
        super().__init__()
        if not len(strides) == len(num_blocks) == len(expansions) == len(reductions) > 0:
            raise ConfigError(
                "model.backbone.strides, num_blocks, expansions and reductions need one entry for each stage"
            )
        self.padding = -in_dim % math.prod(strides)
        num_bins = in_dim + self.padding
        self.out_dim = channels * num_bins
        self.stem = nn.Sequential(nn.Conv2d(1, channels, kernel_size=3, padding=1), ChannelNorm(channels))
        self.stages = nn.ModuleList()
        self.sums = nn.ModuleList()
        for sizes in map(StageSizes, strides, num_blocks, expansions, reductions):
            stage = Stage(channels, num_bins, sizes, block=block, group_size=group_size)
            if sizes.reduction is not None:
                hidden = max(1, self.out_dim // sizes.reduction // num_heads) * num_heads
                stage.context = TimeContext(self.out_dim, hidden, kernel_sizes=time_kernel_sizes, num_heads=num_heads)
            channels, num_bins = channels * sizes.stride, num_bins // sizes.stride
            self.stages.append(stage)
            self.sums.append(WeightedSum(len(self.stages) + 1, self.out_dim))

    def forward(self, features: Tensor) -> Tensor:
        maps = functional.pad(features.unsqueeze(1), (0, 0, 0, self.padding)) if self.padding else features.unsqueeze(1)
        frames = to_frames(self.stem(maps))
        outputs = [frames]
        for stage, weighted_sum in zip(self.stages, self.sums, strict=True):
            outputs.append(stage(frames))
            frames = weighted_sum(outputs)
        return frames


class StageSizes(NamedTuple):
    """One stage's column of the network's table."""

    stride: int
    num_blocks: int
    expansion: int
    reduction: int | None


class Stage(nn.Module):
    """2-D blocks over the map that the frames are, then the 1-D `context`, if any: (B, C F, T) -> (B, C F, T)."""

    context: TimeContext | None

    def __init__(self, channels: int, num_bins: int, sizes: StageSizes, *, block: str, group_size: int) -> None:
        super().__init__()
        self.num_bins = num_bins
        stride, out_channels = sizes.stride, channels * sizes.stride
        wide = out_channels * sizes.expansion
        self.maps = nn.Sequential(
            nn.Conv2d(channels, wide, kernel_size=(stride, 1), stride=(stride, 1)),
            *(make_block(block, wide, num_bins // stride, group_size=group_size) for _ in range(sizes.num_blocks)),
        )
        if sizes.expansion != 1:
            self.maps.append(Narrowing(wide, out_channels, group_size=group_size))
        self.context = None

    def forward(self, frames: Tensor) -> Tensor:
        frames = to_frames(self.maps(to_maps(frames, self.num_bins)))
        return frames if self.context is None else self.context(frames)


class WeightedSum(nn.Module):
    """The stages' outputs so far, summed channel by channel under softmax weights: list of (B, C, T) -> (B, C, T)."""

    def __init__(self, num_inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_inputs, channels, 1))  # the mean, to begin with

    def forward(self, outputs: list[Tensor]) -> Tensor:
        first, *weights = torch.softmax(self.weight, dim=0)
        total: Tensor = outputs[0] * first
        for output, weight in zip(outputs[1:], weights, strict=True):
            total = torch.addcmul(total, output, weight)
        return total


def to_frames(maps: Tensor) -> Tensor:
    """(B, C, F, T) -> (B, F C, T), all channels of the lowest bin first.

    Whatever a stage's F and C, a row then stands for the same part of the spectrum, and sums mix like with like.
    """
    return maps.transpose(1, 2).flatten(1, 2)


def to_maps(frames: Tensor, num_bins: int) -> Tensor:
    """The way back from `to_frames`: (B, F C, T) -> (B, C, F, T)."""
    batch, _, num_frames = frames.shape
    return frames.reshape(batch, num_bins, -1, num_frames).transpose(1, 2)
