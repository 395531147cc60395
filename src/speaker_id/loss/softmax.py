"""Plain classification."""

from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput


class Softmax(nn.Module):
    """Cross-entropy of a linear classifier: (B, E), (B,) -> LossOutput."""

    def __init__(self, in_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        logits = self.classifier(embeddings).float()
        return LossOutput(functional.cross_entropy(logits, labels), logits)
