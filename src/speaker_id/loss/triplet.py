"""The hardest pairs of a batch, beside a classifier."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.loss.groups import group_by_speaker
from speaker_id.loss.precision import in_full_precision
from speaker_id.loss.softmax import Softmax


class TripletAngularMargin(nn.Module):
    """Batch-hard triplets over cosines plus softmax: (B, E), (B,) -> LossOutput.

    With p the lowest cosine to an utterance of the same speaker and n the highest to another speaker's (batch-hard:
    Hermans et al. 2017, arXiv 1703.07737), each row adds max(0, n - p + margin) and, `absolute_weight` times,
    max(0, positive_cosine - p) + max(0, n - negative_cosine), as PaddleClas and VoiceprintRecognition-Pytorch have it.
    The logits are the classifier's. Raises TrainingError for a batch without pairs of both kinds.
    """

    utterances_per_speaker: ClassVar[int] = 2

    def __init__(
        self,
        in_dim: int,
        num_speakers: int,
        *,
        margin: float,
        positive_cosine: float,
        negative_cosine: float,
        absolute_weight: float,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.positive_cosine = positive_cosine
        self.negative_cosine = negative_cosine
        self.absolute_weight = absolute_weight
        self.softmax = Softmax(in_dim, num_speakers, label_smoothing=label_smoothing)

    @in_full_precision
    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        group_by_speaker(labels, least=self.utterances_per_speaker)
        positive, negative = hardest_cosines(embeddings, labels)
        ranking = functional.relu(negative - positive + self.margin).mean()
        far = functional.relu(self.positive_cosine - positive).mean()
        near = functional.relu(negative - self.negative_cosine).mean()
        classification: LossOutput = self.softmax(embeddings, labels)
        loss = classification.loss + ranking + self.absolute_weight * (far + near)
        return LossOutput(loss, classification.logits)


def hardest_cosines(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row the lowest cosine to its speaker's other rows and the highest to other speakers': both (B,)."""
    unit = functional.normalize(embeddings)
    cosines = unit @ unit.T
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    positive = cosines.masked_fill(~same, 2.0).amin(dim=1)  # the row itself is among them, and never the farthest
    negative = cosines.masked_fill(same, -2.0).amax(dim=1)  # 2 and -2 lie beyond any cosine
    return positive, negative
