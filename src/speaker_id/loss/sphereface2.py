"""One yes-or-no question a speaker, instead of one choice among all."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.errors import ConfigError
from speaker_id.loss.cosine import CosineHead, turned


class SphereFace2(nn.Module):
    """K binary classifications with logits s g(cos) + b: (B, E), (B,) -> LossOutput. Wen et al. 2022, arXiv 2108.01513.

    g(z) = 2 ((z + 1) / 2)^t - 1 spreads the cosines of different speakers; b is learnt, one for all. The target's
    classification weighs `target_weight` (lambda), each other one 1 - `target_weight`. `margin_type` C moves g by the
    margin, down for the target and up for the others; A turns the target's angle to min(pi, theta + m). The paper's
    constant factor 1/s is left out: the loss is then of the size of a softmax loss, and takes the same learning rate.
    Raises ConfigError for values out of range.
    """

    def __init__(
        self,
        in_dim: int,
        num_speakers: int,
        *,
        margin: float,
        scale: float,
        target_weight: float,
        t: float,
        margin_type: Literal["A", "C"],
    ) -> None:
        super().__init__()
        if margin_type not in ("A", "C"):
            raise ConfigError(f"loss.margin_type={margin_type!r} does not exist; choose A (angle) or C (cosine)")
        if not 0 < target_weight < 1 or not t >= 1:
            raise ConfigError(f"loss.target_weight={target_weight} must lie between 0 and 1, loss.t={t} be 1 or more")
        self.margin = margin
        self.scale = scale
        self.target_weight = target_weight
        self.t = t
        self.margin_type = margin_type
        self.head = CosineHead(in_dim, num_speakers)
        self.bias = nn.Parameter(torch.tensor(self._first_bias(max(1, num_speakers - 1))))

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        is_target = torch.zeros_like(cosines).scatter(1, labels.unsqueeze(1), 1.0)
        weights = torch.where(is_target > 0, self.target_weight, 1 - self.target_weight)
        moved = self.scale * self._with_margin(cosines, is_target > 0) + self.bias
        loss = functional.binary_cross_entropy_with_logits(moved, is_target, weight=weights, reduction="sum")
        return LossOutput(loss / len(labels), self.scale * self._spread(cosines) + self.bias)

    def _with_margin(self, cosines: Tensor, is_target: Tensor) -> Tensor:
        if self.margin_type == "C":
            return self._spread(cosines) + torch.where(is_target, -self.margin, self.margin)
        moved = torch.where(cosines > -math.cos(self.margin), turned(cosines, self.margin), -1.0)
        return self._spread(torch.where(is_target, moved, cosines))

    def _spread(self, cosines: Tensor) -> Tensor:
        return 2 * ((cosines + 1) / 2).clamp_min(0.0).pow(self.t) - 1  # rounding takes a cosine below -1

    def _first_bias(self, num_others: int) -> float:
        """Where target and others pull the bias equally hard, all cosines being 0, as in the authors' OpenSphere."""
        right_angle = torch.zeros(1, 2, dtype=torch.float64)
        moved = self.scale * self._with_margin(right_angle, torch.tensor([[True, False]]))
        target, other = float(moved[0, 0]), float(moved[0, 1])
        # lambda / (1 + q x) = (1 - lambda) num_others x / (1 + x) for x = exp(other + b), q = exp(target - other)
        ratio = self.target_weight / ((1 - self.target_weight) * num_others)
        root = math.sqrt((1 - ratio) ** 2 + 4 * ratio * math.exp(target - other))
        if ratio < 1:
            return math.log(2 * ratio / (1 - ratio + root)) - other
        return math.log((ratio - 1 + root) / 2) - target  # the same, without a difference of near numbers
