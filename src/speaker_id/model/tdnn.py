"""The time-delay layer that TDNNs are built of."""

from torch import Tensor, nn


class ConvReluNorm(nn.Module):
    """Convolution over time, ReLU, batch normalisation: (B, C, T) -> (B, C', T); zero padding keeps T.

    Without `padded` the (kernel_size - 1) dilation frames that lack context are lost.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel_size: int, dilation: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel_size - 1) // 2 * dilation if padded else 0
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation, padding=padding)
        self.activation = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, frames: Tensor) -> Tensor:
        result: Tensor = self.norm(self.activation(self.conv(frames)))
        return result
