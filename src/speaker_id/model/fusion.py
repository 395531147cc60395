"""Two ways of joining two images into one."""

import torch
from torch import Tensor, nn

REDUCTION = 4  # channels of the images to hidden channels of their attention


class Addition(nn.Module):
    """The sum of two images: twice (B, C, F, T) -> (B, C, F, T)."""

    def __init__(self, channels: int) -> None:  # any number: made like the other fusion
        super().__init__()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class AttentiveFusion(nn.Module):
    """A sum whose weights are computed at every point from both images (AFF): twice (B, C, F, T) -> (B, C, F, T).

    Dai et al. 2021, arXiv 2009.14082, in the form of Chen et al. 2023, arXiv 2305.12838: the first image weighs
    1 + tanh(attention), the second 1 - tanh(attention). An attention of 0 is plain addition.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.attention = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, kernel_size=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(inplace=True),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        balance = torch.tanh(self.attention(torch.cat([first, second], dim=1)))
        return first + second + balance * (first - second)  # the two weighted images, with one product fewer
