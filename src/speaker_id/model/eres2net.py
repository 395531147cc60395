"""ERes2Net and ERes2NetV2: Res2Net that fuses slices and stages by attention."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from speaker_id.errors import ConfigError
from speaker_id.model.fusion import Addition, AttentiveFusion
from speaker_id.model.res2net import flat_channels, res2_stages
from speaker_id.model.resnet import plain


class ERes2Net(nn.Module):
    """Enhanced Res2Net's frame layers: (B, F, T) -> (B, C, T / 8) with four stages. Chen et al. 2023, arXiv 2305.12838.

    Local fusion: stages from `attentive_from` on join the slices within a block by attention, those before by
    addition; every slice is convolved. Global fusion: from `fused_from` on, each stage's output is fused with what
    was fused before it. The first stage is 1; one past the last switches either off. ERes2NetV2 (Chen et al. 2024,
    Interspeech) fuses from the third stage only and takes narrower slices of more channels.

    F and T are halved by each stage after the first, rounded up. A slice of the first stage has
    `channels * base_width / 64` channels. Raises ConfigError if a slice would have none.
    """

    # 4: see StagedNetwork.TINY; the second stage begins with twice as many
    TINY: ClassVar = {"channels": 4, "num_blocks": [1, 2, 1, 1], "base_width": 64}
    min_frames = 1

    def __init__(
        self,
        in_dim: int,
        *,
        channels: int,
        num_blocks: Sequence[int],
        base_width: int,
        scale: int,
        expansion: int,
        attentive_from: int,
        fused_from: int,
    ) -> None:
        super().__init__()
        num_stages = len(num_blocks)
        for name, stage in (("attentive_from", attentive_from), ("fused_from", fused_from)):
            if not 1 <= stage <= num_stages + 1:
                raise ConfigError(f"model.backbone.{name}={stage} must be 1 to {num_stages + 1}, one past the stages")
        if scale < 1:
            raise ConfigError(f"model.backbone.scale={scale} must be 1 or more")
        self.stem = plain(1, channels, stride=1)
        stages = res2_stages(
            channels,
            num_blocks=num_blocks,
            fusions=[AttentiveFusion if stage >= attentive_from else Addition for stage in range(1, num_stages + 1)],
            base_width=base_width,
            scale=scale,
            num_convs=scale,
            expansion=expansion,
        )
        self.out_dim = flat_channels(in_dim, channels * expansion, num_stages=num_stages)
        self.first_stages = nn.Sequential(*stages[:fused_from])
        self.fused_stages = nn.ModuleList(stages[fused_from:])
        widths = [expansion * (channels << stage) for stage in range(fused_from, num_stages)]
        self.halvings = nn.ModuleList(
            nn.Conv2d(width // 2, width, kernel_size=3, stride=2, padding=1, bias=False) for width in widths
        )
        self.fusions = nn.ModuleList(AttentiveFusion(width) for width in widths)

    def forward(self, features: Tensor) -> Tensor:
        fused = image = self.first_stages(self.stem(features.unsqueeze(1)))
        for stage, halving, fusion in zip(self.fused_stages, self.halvings, self.fusions, strict=True):
            image = stage(image)
            fused = fusion(image, halving(fused))
        frames: Tensor = fused.flatten(1, 2)
        return frames
