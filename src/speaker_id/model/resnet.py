"""2-D residual networks; also what every network over (frequency, time) maps in stages shares."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from speaker_id.errors import ConfigError

EXPANSION = 4  # a bottleneck ends this many times as wide as it is inside (He et al. 2016)


class Block(Protocol):
    """Makes a block, (B, C, F, T) -> (B, C', F / stride, T / stride), sizes rounded up.

    A stage's block tells its C' as `out_channels`, which may be a multiple of `channels`.
    """

    def __call__(self, in_channels: int, channels: int, *, stride: int) -> nn.Module: ...


class StagedNetwork(nn.Module):
    """A stem and stages of blocks over maps, then frequency flattened into C: (B, F, T) -> (B, C, T').

    `channels` and `num_blocks` have one entry for each stage. A stage after the first begins by halving frequency and
    time, rounded up, so that any F and T pass. Raises ConfigError for stages that do not fit.
    """

    # A 1x1 convolution with a stride sees 8 channels or more: where the CPU has no AVX-512, oneDNN writes beyond the
    # gradient of fewer (torch 2.14; the process aborts).
    TINY: ClassVar[dict[str, Any]] = {"channels": [8, 8, 8], "num_blocks": [2, 1, 1]}
    min_frames = 1

    def __init__(
        self,
        in_dim: int,
        *,
        stem: Block,
        block: Block,
        channels: Sequence[int],
        num_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        if len(channels) != len(num_blocks) or not channels or min(*channels, *num_blocks) < 1:
            raise ConfigError(
                "model.backbone.channels and num_blocks need one positive number for each stage, not "
                f"{list(channels)} and {list(num_blocks)}"
            )
        self.stem = stem(1, channels[0], stride=1)
        stages = []
        out_channels = channels[0]
        for stage, (width, count) in enumerate(zip(channels, num_blocks, strict=True)):
            blocks = nn.Sequential()
            for index in range(count):
                blocks.append(block(out_channels, width, stride=2 if stage > 0 and index == 0 else 1))
                out_channels = blocks[-1].out_channels  # type: ignore[assignment]
            stages.append(blocks)
        self.stages: nn.Module = nn.Sequential(*stages)
        self.out_dim = out_channels * -(-in_dim // 2 ** (len(channels) - 1))

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.stages(self.stem(features.unsqueeze(1)))
        return maps.flatten(1, 2)


class ResNet(StagedNetwork):
    """The network of r-vectors: (B, F, T) -> (B, C, T / 8). He et al. 2016, as Zeinali et al. 2019 made it for speech.

    The stem is 3x3 without stride or max pooling, and the stages are half as wide as for images. `block` is `basic` or
    `bottleneck`. Zeinali et al.: BUT system description to VoxCeleb Speaker Recognition Challenge 2019.
    """

    def __init__(self, in_dim: int, *, block: str, channels: Sequence[int], num_blocks: Sequence[int]) -> None:
        if block not in BLOCKS:
            raise ConfigError(f"model.backbone.block={block!r} must be one of: {', '.join(BLOCKS)}")
        super().__init__(
            in_dim,
            stem=plain,
            block=BLOCKS[block],
            channels=channels,
            num_blocks=num_blocks,
        )


class Residual(nn.Module):
    """A branch added to its input, then ReLU: (B, C, F, T) -> (B, C', F / stride, T / stride). He et al. 2016, eq. 2.

    Where the sizes differ the input goes through a 1x1 convolution first.
    """

    def __init__(self, branch: nn.Module, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.branch = branch
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_norm(in_channels, out_channels, kernel_size=1, stride=stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = self.branch(maps)
        result += self.shortcut(maps)  # in place: a normalisation needs its input again, never its output
        activated: Tensor = self.activation(result)
        return activated


class BasicBlock(Residual):
    """Two 3x3 convolutions: (B, C, F, T) -> (B, channels, F / stride, T / stride)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        branch = nn.Sequential(
            *conv_norm(in_channels, channels, kernel_size=3, stride=stride),
            nn.ReLU(inplace=True),
            *conv_norm(channels, channels, kernel_size=3),
        )
        super().__init__(branch, in_channels, channels, stride=stride)


class Bottleneck(Residual):
    """1x1, 3x3 and 1x1 convolutions: (B, C, F, T) -> (B, 4 channels, F / stride, T / stride)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        branch = bottleneck(in_channels, channels, EXPANSION * channels, stride=stride)
        super().__init__(branch, in_channels, EXPANSION * channels, stride=stride)


BLOCKS: dict[str, Block] = {"basic": BasicBlock, "bottleneck": Bottleneck}


def plain(in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU: (B, C, F, T) -> (B, channels, F / stride, T / stride)."""
    return nn.Sequential(
        *conv_norm(in_channels, channels, kernel_size=3, stride=stride),
        nn.ReLU(inplace=True),
    )


def bottleneck(in_channels: int, channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    """1x1 convolution to `channels`, 3x3 with the stride, 1x1 to `out_channels`; ReLU after the first two."""
    return nn.Sequential(
        *conv_norm(in_channels, channels, kernel_size=1),
        nn.ReLU(inplace=True),
        *conv_norm(channels, channels, kernel_size=3, stride=stride),
        nn.ReLU(inplace=True),
        *conv_norm(channels, out_channels, kernel_size=1),
    )


def conv_norm(in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """Convolution and batch normalisation: (B, C, F, T) -> (B, C', F / stride, T / stride), zero padded, rounded up."""
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(out_channels),
    )
