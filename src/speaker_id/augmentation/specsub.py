"""Substitution of time."""

import torch
from torch import Tensor, nn

from speaker_id.augmentation.checks import check_at_least, check_probability


class SpecSub(nn.Module):
    """Replaces stretches by earlier ones of the same item: (B, F, T) -> (B, F, T); identity in eval().

    Wu et al. 2021, "U2++: Unified Two-pass Bidirectional End-to-end Model for Speech Recognition": `num_stretches` of 1
    to `max_frames` frames begin anywhere; each is a copy of the input as many frames before as are uniform in 0 … its
    own beginning. Each item is changed with probability `prob`, by its own draws from torch's generator of the device;
    the input is not modified.
    """

    def __init__(self, *, prob: float, num_stretches: int, max_frames: int) -> None:
        super().__init__()
        check_probability(prob)
        check_at_least("num_stretches", num_stretches, 0)
        check_at_least("max_frames", max_frames, 1)
        self.prob = prob
        self.num_stretches = num_stretches
        self.max_frames = max_frames

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        (batch, _, frames), device = features.shape, features.device
        chosen = torch.rand(batch, 1, device=device) < self.prob
        position = torch.arange(frames, device=device)
        source = position.expand(batch, frames)
        for _ in range(self.num_stretches):
            start = torch.randint(frames, (batch, 1), device=device)
            width = torch.randint(1, self.max_frames + 1, (batch, 1), device=device)
            back = (torch.rand(batch, 1, device=device) * (start + 1)).long()
            inside = (position >= start) & (position < start + width) & chosen
            source = torch.where(inside, position - back, source)
        return features.gather(2, source.unsqueeze(1).expand_as(features))
