"""The residual network whose blocks weigh their channels."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from speaker_id.errors import ConfigError
from speaker_id.model.ecapa import SqueezeExcitation
from speaker_id.model.resnet import Residual, StagedNetwork, bottleneck, plain


class ResNetSE(StagedNetwork):
    """ResNet of bottlenecks with squeeze-excitation: (B, F, T) -> (B, C, T / 8). He et al. 2016; Hu et al. 2018.

    A block ends `expansion` times as wide as it is inside; its gates are computed in `reduction` times fewer channels.
    """

    TINY: ClassVar[dict[str, Any]] = {**StagedNetwork.TINY, "reduction": 4}

    def __init__(
        self, in_dim: int, *, channels: Sequence[int], num_blocks: Sequence[int], expansion: int, reduction: int
    ) -> None:
        if any(expansion * width % reduction for width in channels):
            raise ConfigError(
                f"model.backbone.channels={list(channels)} times expansion={expansion} must be multiples of "
                f"reduction={reduction}"
            )
        super().__init__(
            in_dim,
            stem=plain,
            block=partial(SEBottleneck, expansion=expansion, reduction=reduction),
            channels=channels,
            num_blocks=num_blocks,
        )


class SEBottleneck(Residual):
    """A bottleneck with squeeze-excitation before the sum: (B, C, F, T) -> (B, C', F / stride, T / stride)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, expansion: int, reduction: int) -> None:
        out_channels = expansion * channels
        branch = bottleneck(in_channels, channels, out_channels, stride=stride)
        branch.append(MapExcitation(out_channels, bottleneck=out_channels // reduction))
        super().__init__(branch, in_channels, out_channels, stride=stride)


class MapExcitation(SqueezeExcitation):
    """Scales each channel's map by a gate computed from all maps' means: (B, C, F, T) -> (B, C, F, T)."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.flatten(2)).view_as(maps)
