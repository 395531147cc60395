"""Masks over features."""

import torch
from torch import Tensor, nn

from speaker_id.augmentation.checks import check_at_least, check_probability
from speaker_id.errors import ConfigError


class SpecAugment(nn.Module):
    """Masks bands of frequency and stretches of time, anew for every item: (B, F, T) -> (B, F, T); identity in eval().

    Park et al. 2019, "SpecAugment", without time warping: widths uniform in 0 … max, positions uniform. A stretch of
    time is never wider than `max_time_ratio` of T (their p). The fill is zero or the item's mean. Each item is masked
    with probability `prob`. Randomness is torch's own generator of the device; the input is not modified.
    """

    def __init__(
        self,
        *,
        prob: float,
        num_freq_masks: int,
        max_freq_bins: int,
        num_time_masks: int,
        max_time_frames: int,
        max_time_ratio: float,
        replace_with_zero: bool,
    ) -> None:
        super().__init__()
        check_probability(prob)
        for name, count in (("num_freq_masks", num_freq_masks), ("num_time_masks", num_time_masks)):
            check_at_least(name, count, 0)
        check_at_least("max_freq_bins", max_freq_bins, 0)
        check_at_least("max_time_frames", max_time_frames, 0)
        if not 0 <= max_time_ratio <= 1:
            raise ConfigError(f"max_time_ratio must lie in [0, 1], not {max_time_ratio}")
        self.prob = prob
        self.num_freq_masks = num_freq_masks
        self.max_freq_bins = max_freq_bins
        self.num_time_masks = num_time_masks
        self.max_time_frames = max_time_frames
        self.max_time_ratio = max_time_ratio
        self.replace_with_zero = replace_with_zero

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        batch, bins, frames = features.shape
        if self.num_freq_masks and self.max_freq_bins >= bins:
            raise ConfigError(f"max_freq_bins = {self.max_freq_bins} would mask all {bins} feature bins")
        widest = min(self.max_time_frames, int(self.max_time_ratio * frames))
        in_band = _masks(features, self.num_freq_masks, self.max_freq_bins, bins).unsqueeze(2)  # (B, F, 1)
        in_stretch = _masks(features, self.num_time_masks, widest, frames).unsqueeze(1)  # (B, 1, T)
        chosen = torch.rand(batch, 1, 1, device=features.device) < self.prob
        fill = torch.zeros_like(features[:, :1, :1]) if self.replace_with_zero else features.mean((1, 2), keepdim=True)
        return torch.where((in_band | in_stretch) & chosen, fill, features)


def _masks(features: Tensor, num_masks: int, widest: int, size: int) -> Tensor:
    """(B, size), true inside any of an item's masks."""
    shape, device = (len(features), num_masks, 1), features.device
    width = torch.randint(widest + 1, shape, device=device)
    start = (torch.rand(shape, device=device) * (size - width + 1)).long()
    position = torch.arange(size, device=device)
    return ((position >= start) & (position < start + width)).any(dim=1)
