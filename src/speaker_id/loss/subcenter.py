"""Several weight vectors a speaker, and a penalty on the speakers one is taken for."""

import math

import torch
from torch import Tensor, nn

from speaker_id.contracts import LossOutput
from speaker_id.errors import ConfigError
from speaker_id.loss.cosine import CosineHead, margin_output, turned, with_angular_margin
from speaker_id.loss.softmax import checked_smoothing


class SubcenterAngularMargin(nn.Module):
    """AAM-softmax over the nearest of `num_centers` centres of each speaker: (B, E), (B,) -> LossOutput.

    Sub-centres take the mislabelled and the odd utterances (Deng et al. 2020, "Sub-center ArcFace"). The inter-top-k
    penalty (Zhao et al. 2022, arXiv 2110.05042) also turns the `k_top` nearest other speakers nearer, to
    cos(theta - penalty). It grows and shrinks in proportion with `margin`: none without a margin, all of it at the
    margin given here. A penalty or k_top of 0 switches it off. Raises ConfigError for counts out of range.
    """

    def __init__(
        self,
        in_dim: int,
        num_speakers: int,
        *,
        margin: float,
        scale: float,
        num_centers: int,
        k_top: int,
        penalty: float,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if num_centers < 1 or k_top < 0:
            raise ConfigError(f"loss.num_centers={num_centers} must be 1 or more, loss.k_top={k_top} 0 or more")
        self.margin = margin
        self.scale = scale
        self.num_centers = num_centers
        self.k_top = min(k_top, num_speakers - 1)  # there are no more others
        self.penalty_per_margin = penalty / margin if margin else 0.0
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.head = CosineHead(in_dim, num_speakers * num_centers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings).unflatten(1, (-1, self.num_centers)).amax(dim=-1)
        column = labels.unsqueeze(1)
        target = with_angular_margin(cosines.gather(1, column), self.margin)
        moved = self._nearer_others(cosines, column).scatter(1, column, target)
        return margin_output(cosines, moved, labels, scale=self.scale, label_smoothing=self.label_smoothing)

    def _nearer_others(self, cosines: Tensor, column: Tensor) -> Tensor:
        penalty = self.penalty_per_margin * self.margin
        if not penalty or not self.k_top:
            return cosines
        nearest = cosines.detach().scatter(1, column, -math.inf).topk(self.k_top, dim=1).indices
        return cosines.scatter(1, nearest, with_penalty(cosines.gather(1, nearest), penalty))


def with_penalty(cosine: Tensor, penalty: float) -> Tensor:
    """cos(theta - penalty), and for theta < penalty, where that would fall again, a straight line that goes on."""
    return torch.where(cosine < math.cos(penalty), turned(cosine, -penalty), cosine + 1.0 - math.cos(penalty))
