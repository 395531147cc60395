"""Losses over cosines to one weight vector a speaker, with a margin that the target has to make up for."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.loss.precision import full_precision, in_full_precision
from speaker_id.loss.softmax import checked_smoothing

SINE_FLOOR = 1e-7  # under the root of 1 - cos^2: the slope stays finite at the poles


class CosineHead(nn.Module):
    """Cosines to one unit vector a speaker: (B, E) -> (B, K); always float32, whatever autocast says."""

    def __init__(self, in_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_speakers, in_dim))
        nn.init.xavier_normal_(self.weight)

    @in_full_precision
    def forward(self, embeddings: Tensor) -> Tensor:
        return functional.linear(functional.normalize(embeddings), functional.normalize(full_precision(self.weight)))


class AdditiveMargin(nn.Module):
    """AM-softmax, logits s (cos - m [target]): (B, E), (B,) -> LossOutput. Wang et al. 2018, arXiv 1801.05599."""

    def __init__(
        self, in_dim: int, num_speakers: int, *, margin: float, scale: float, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        column = labels.unsqueeze(1)
        moved = cosines.scatter(1, column, cosines.gather(1, column) - self.margin)
        return margin_output(cosines, moved, labels, scale=self.scale, label_smoothing=self.label_smoothing)


class RealAdditiveMargin(nn.Module):
    """Real AM-softmax: (B, E), (B,) -> LossOutput. Li et al. 2022, arXiv 2110.09116.

    log(1 + sum over the other speakers j of exp(max(0, s (cos_j - cos_target + m)))): AM-softmax, but a speaker who is
    already a margin away counts as if right at the margin, and pulls no more. So the loss cannot fall below log(K),
    and without a margin it is not softmax, but its hinge.
    """

    def __init__(self, in_dim: int, num_speakers: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        column = labels.unsqueeze(1)
        missing = functional.relu(cosines - cosines.gather(1, column) + self.margin).scatter(1, column, 0.0)
        return margin_output(cosines, missing, labels, scale=self.scale)


class AdditiveAngularMargin(nn.Module):
    """AAM-softmax (ArcFace), target logit s cos(theta + m): (B, E), (B,) -> LossOutput. Deng et al. 2019, eq. 3.

    Where theta + m would pass pi the cosine turns back up; from there on the target logit is the straight line
    cos - m sin(m), which keeps falling. `easy_margin` applies the margin only to angles below 90 degrees.
    """

    def __init__(
        self,
        in_dim: int,
        num_speakers: int,
        *,
        margin: float,
        scale: float,
        easy_margin: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.easy_margin = easy_margin
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        column = labels.unsqueeze(1)
        target = with_angular_margin(cosines.gather(1, column), self.margin, easy=self.easy_margin)
        moved = cosines.scatter(1, column, target)
        return margin_output(cosines, moved, labels, scale=self.scale, label_smoothing=self.label_smoothing)


def with_angular_margin(cosine: Tensor, margin: float, *, easy: bool = False) -> Tensor:
    """What the target's cosine becomes, falling all the way from 0 to pi."""
    moved = turned(cosine, margin)
    if easy:
        return torch.where(cosine > 0, moved, cosine)
    return torch.where(cosine > -math.cos(margin), moved, cosine - margin * math.sin(margin))


def turned(cosine: Tensor, angle: float) -> Tensor:
    """cos(theta) -> cos(theta + angle), with a finite slope everywhere."""
    sine = (1.0 - cosine.square()).clamp_min(SINE_FLOOR).sqrt()
    return cosine * math.cos(angle) - sine * math.sin(angle)


def margin_output(
    cosines: Tensor, moved: Tensor, labels: Tensor, *, scale: float, label_smoothing: float = 0.0
) -> LossOutput:
    """Cross-entropy over the cosines that the margin moved; the logits returned carry no margin. All (B, K)."""
    loss = functional.cross_entropy(scale * moved, labels, label_smoothing=label_smoothing)
    return LossOutput(loss, scale * cosines)
