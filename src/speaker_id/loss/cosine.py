"""Losses over cosines to one weight vector a speaker: plain, with an additive margin, with an angular margin."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput

SINE_FLOOR = 1e-7  # under the root of 1 - cos^2: the slope stays finite at the poles


class CosineHead(nn.Module):
    """Cosines to one unit vector a speaker: (B, E) -> (B, K); always float32, whatever autocast says."""

    def __init__(self, in_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_speakers, in_dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            unit = functional.normalize(embeddings.float())
            return functional.linear(unit, functional.normalize(self.weight.float()))


class AdditiveMargin(nn.Module):
    """AM-softmax, logits s (cos - m [target]): (B, E), (B,) -> LossOutput. Wang et al. 2018, arXiv 1801.05599."""

    def __init__(self, in_dim: int, num_speakers: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        target = cosines.gather(1, labels.unsqueeze(1))
        return margin_output(cosines, target - self.margin, labels, self.scale)


class AdditiveAngularMargin(nn.Module):
    """AAM-softmax (ArcFace), target logit s cos(theta + m): (B, E), (B,) -> LossOutput. Deng et al. 2019, eq. 3.

    Where theta + m would pass pi the cosine turns back up; from there on the target logit is the straight line
    cos - m sin(m), which keeps falling. `easy_margin` applies the margin only to angles below 90 degrees.
    """

    def __init__(
        self, in_dim: int, num_speakers: int, *, margin: float, scale: float, easy_margin: bool = False
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.easy_margin = easy_margin
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        target = cosines.gather(1, labels.unsqueeze(1))
        return margin_output(cosines, self._with_margin(target), labels, self.scale)

    def _with_margin(self, cosine: Tensor) -> Tensor:
        sine = (1.0 - cosine.square()).clamp_min(SINE_FLOOR).sqrt()
        moved = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        if self.easy_margin:
            return torch.where(cosine > 0, moved, cosine)
        return torch.where(cosine > -math.cos(self.margin), moved, cosine - self.margin * math.sin(self.margin))


def margin_output(cosines: Tensor, target: Tensor, labels: Tensor, scale: float) -> LossOutput:
    """Cross-entropy after the target column (B, 1) replaced its cosine; the logits returned carry no margin."""
    logits = scale * cosines.scatter(1, labels.unsqueeze(1), target)
    return LossOutput(functional.cross_entropy(logits, labels), scale * cosines)
