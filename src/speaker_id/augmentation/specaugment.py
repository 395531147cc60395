"""Masks over features, and time warping."""

import torch
from torch import Tensor, nn

from speaker_id.augmentation.checks import check_at_least, check_probability
from speaker_id.errors import ConfigError


class SpecAugment(nn.Module):
    """Warps time and masks bands and stretches, anew for every item: (B, F, T) -> (B, F, T); identity in eval().

    Park et al. 2019, "SpecAugment". First a random frame moves by up to `max_time_warp` frames either way (0: off) and
    takes its neighbourhood along, linearly to both ends, which stay. Then masks, widths uniform in 0 … widest,
    positions uniform. The widest band is `max_freq_bins` or `max_freq_ratio` of F, the widest stretch `max_time_frames`
    or `max_time_ratio` of T (their p): the narrower of the two, rounded down; None leaves it to the ratio. The fill is
    zero or the item's mean.

    Each item is changed with probability `prob`. Randomness is torch's own generator of the device. The input is not
    modified, unless `inplace`: then the result is written into it and no other features need memory (the time warp
    still does); it must not carry a gradient.
    """

    def __init__(
        self,
        *,
        prob: float,
        num_freq_masks: int,
        max_freq_bins: int | None,
        num_time_masks: int,
        max_time_frames: int | None,
        max_time_ratio: float,
        replace_with_zero: bool,
        max_freq_ratio: float = 1.0,
        max_time_warp: int = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        check_probability(prob)
        for name, count in (
            ("num_freq_masks", num_freq_masks),
            ("num_time_masks", num_time_masks),
            ("max_time_warp", max_time_warp),
            ("max_freq_bins", max_freq_bins),
            ("max_time_frames", max_time_frames),
        ):
            check_at_least(name, 0 if count is None else count, 0)
        for name, ratio in (("max_freq_ratio", max_freq_ratio), ("max_time_ratio", max_time_ratio)):
            if not 0 <= ratio <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], not {ratio}")
        self.prob = prob
        self.max_time_warp = max_time_warp
        self.num_freq_masks = num_freq_masks
        self.max_freq_bins = max_freq_bins
        self.max_freq_ratio = max_freq_ratio
        self.num_time_masks = num_time_masks
        self.max_time_frames = max_time_frames
        self.max_time_ratio = max_time_ratio
        self.replace_with_zero = replace_with_zero
        self.inplace = inplace

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        batch, bins, frames = features.shape
        widest_band = _narrower(self.max_freq_bins, self.max_freq_ratio, bins)
        if self.num_freq_masks and widest_band >= bins:
            raise ConfigError(
                f"max_freq_bins = {self.max_freq_bins} would mask all {bins} feature bins "
                f"(max_freq_ratio = {self.max_freq_ratio}); give less of one of them"
            )
        widest_stretch = _narrower(self.max_time_frames, self.max_time_ratio, frames)
        in_band = _masks(features, self.num_freq_masks, widest_band, bins).unsqueeze(2)  # (B, F, 1)
        in_stretch = _masks(features, self.num_time_masks, widest_stretch, frames).unsqueeze(1)  # (B, 1, T)
        chosen = torch.rand(batch, 1, 1, device=features.device) < self.prob
        warped = _time_warped(features, self.max_time_warp, chosen)
        fill = torch.zeros_like(warped[:, :1, :1]) if self.replace_with_zero else warped.mean((1, 2), keepdim=True)
        out = features if self.inplace else None
        return torch.where((in_band | in_stretch) & chosen, fill, warped, out=out)


def _narrower(widest: int | None, ratio: float, size: int) -> int:
    part = int(ratio * size)
    return part if widest is None else min(widest, part)


def _masks(features: Tensor, num_masks: int, widest: int, size: int) -> Tensor:
    """(B, size), true inside any of an item's masks."""
    shape, device = (len(features), num_masks, 1), features.device
    width = torch.randint(widest + 1, shape, device=device)
    start = (torch.rand(shape, device=device) * (size - width + 1)).long()
    position = torch.arange(size, device=device)
    return ((position >= start) & (position < start + width)).any(dim=1)


def _time_warped(features: Tensor, widest: int, chosen: Tensor) -> Tensor:
    """(B, F, T) -> (B, F, T) where `chosen` (B, 1, 1): a frame moves, the ends stay, linear in between."""
    (batch, bins, frames), device = features.shape, features.device
    widest = min(widest, (frames - 3) // 2)  # on either side of the frame something is left to squeeze
    if widest < 1:
        return features
    last = frames - 1
    frame = torch.randint(widest + 1, last - widest, (batch, 1, 1), device=device)
    moved = frame + torch.randint(-widest, widest + 1, (batch, 1, 1), device=device) * chosen
    position = torch.arange(frames, device=device, dtype=torch.float32)
    before = position * (frame / moved)
    after = last - (last - position) * ((last - frame) / (last - moved))
    source = torch.where(position < moved, before, after)  # (B, 1, T), frames of the input
    left = source.long().clamp(0, last - 1)
    index = left.expand(-1, bins, -1)
    weight = (source - left).to(features.dtype)
    return torch.lerp(features.gather(2, index), features.gather(2, index + 1), weight)
