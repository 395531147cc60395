"""Losses without class weights: utterances against the centres of the batch's own speakers."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.loss.groups import batch_logits, cosines_to_others, group_by_speaker
from speaker_id.loss.precision import in_full_precision

SCALE_FLOOR = 1e-6  # the learnt scale stays positive


class CentroidLoss(nn.Module):
    """A learnt scale over the batch's cosines; no weights for the speakers."""

    utterances_per_speaker: ClassVar[int] = 2

    def __init__(self, in_dim: int, num_speakers: int, *, scale: float) -> None:
        super().__init__()
        self.num_speakers = num_speakers
        self.scale = nn.Parameter(torch.tensor(float(scale)))


class GE2E(CentroidLoss):
    """Generalised end-to-end loss, softmax form: (B, E), (B,) -> LossOutput. Wan et al. 2018, arXiv 1710.10467, eq. 6.

    Every utterance chooses among the batch's speakers by w cos(utterance, centroid), its own speaker's centroid being
    without it; w is learnt from `scale` on. The paper's bias is not here: it cancels in a softmax. The mean over the
    batch stands for the paper's sum. Logits: see `batch_logits`. Raises TrainingError for a batch with a single
    utterance of a speaker.
    """

    @in_full_precision
    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        groups = group_by_speaker(labels, least=self.utterances_per_speaker)
        scale = self.scale.clamp_min(SCALE_FLOOR)
        unit = functional.normalize(embeddings)
        cosines = cosines_to_others(unit, groups.sums(unit), groups)
        loss = functional.cross_entropy(scale * cosines, groups.position)
        return LossOutput(loss, batch_logits(cosines, groups, scale, self.num_speakers))


class AngularPrototypical(CentroidLoss):
    """Angular prototypical loss: (B, E), (B,) -> LossOutput. Chung et al. 2020, arXiv 2003.11982, eq. 4 to 6.

    The last utterance of each speaker chooses among the batch's speakers by w cos(query, prototype), a prototype being
    the mean of the speaker's other utterances; w is learnt from `scale` on. The paper's bias is not here: it cancels
    in a softmax. Logits: see `batch_logits`; in the rows that are no queries, the own speaker's prototype is the mean
    without that row. Raises TrainingError for a batch with a single utterance of a speaker.
    """

    @in_full_precision
    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        groups = group_by_speaker(labels, least=self.utterances_per_speaker)
        scale = self.scale.clamp_min(SCALE_FLOOR)
        rows = torch.arange(len(labels), device=labels.device)
        queries = rows.new_zeros(len(groups.speakers)).scatter_reduce(0, groups.position, rows, "amax")
        prototypes = groups.sums(embeddings.index_fill(0, queries, 0.0))
        cosines = cosines_to_others(embeddings, prototypes, groups)
        loss = functional.cross_entropy(scale * cosines[queries], groups.position[queries])
        return LossOutput(loss, batch_logits(cosines, groups, scale, self.num_speakers))
