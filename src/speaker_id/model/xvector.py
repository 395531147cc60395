"""The x-vector TDNN."""

from typing import ClassVar

from torch import Tensor, nn

from speaker_id.model.tdnn import ConvReluNorm


class XVector(nn.Module):
    """The frame layers of the x-vector network: (B, F, T) -> (B, C, T). Snyder et al. 2018, table 1.

    Contexts 5, 3 (every 2nd), 3 (every 3rd), 1, 1; padded, so that short recordings pass too.
    """

    TINY: ClassVar = {"channels": 16, "out_channels": 24}
    min_frames = 1

    def __init__(self, in_dim: int, *, channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_dim = out_channels
        self.layers = nn.Sequential(
            ConvReluNorm(in_dim, channels, kernel_size=5),
            ConvReluNorm(channels, channels, kernel_size=3, dilation=2),
            ConvReluNorm(channels, channels, kernel_size=3, dilation=3),
            ConvReluNorm(channels, channels, kernel_size=1),
            ConvReluNorm(channels, out_channels, kernel_size=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        frames: Tensor = self.layers(features)
        return frames
