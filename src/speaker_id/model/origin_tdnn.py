"""The TDNN of the project that this one comes from (ppvector, later mvector)."""

from typing import ClassVar

from torch import Tensor, nn

from speaker_id.model.tdnn import ConvReluNorm


class OriginTdnn(nn.Module):
    """The x-vector's frame layers without padding: (B, F, T) -> (B, C, T - 14). Snyder et al. 2018, table 1.

    Contexts 5, 3 (every 2nd), 3 (every 3rd), 1, 1. Unlike the x-vector's, its last layer is not normalised and no
    wider than the rest: pooling comes right after it, and its normalisation after pooling.
    """

    TINY: ClassVar = {"channels": 16, "out_channels": 24}
    min_frames = 15  # the layers see 2 + 2 + 3 frames to each side

    def __init__(self, in_dim: int, *, channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_dim = out_channels
        self.layers = nn.Sequential(
            ConvReluNorm(in_dim, channels, kernel_size=5, padded=False),
            ConvReluNorm(channels, channels, kernel_size=3, dilation=2, padded=False),
            ConvReluNorm(channels, channels, kernel_size=3, dilation=3, padded=False),
            ConvReluNorm(channels, channels, kernel_size=1),
            nn.Conv1d(channels, out_channels, kernel_size=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        frames: Tensor = self.layers(features)
        return frames
