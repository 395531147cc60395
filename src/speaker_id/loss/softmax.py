"""Plain classification."""

from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.errors import ConfigError
from speaker_id.loss.precision import full_precision, in_full_precision


class Softmax(nn.Module):
    """Cross-entropy of a linear classifier: (B, E), (B,) -> LossOutput.

    `label_smoothing` spreads that part of the target evenly over all speakers (Szegedy et al. 2016, section 7).
    """

    def __init__(self, in_dim: int, num_speakers: int, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = checked_smoothing(label_smoothing)
        self.classifier = nn.Linear(in_dim, num_speakers)

    @in_full_precision
    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        weight, bias = full_precision(self.classifier.weight), full_precision(self.classifier.bias)
        logits = functional.linear(embeddings, weight, bias)
        return LossOutput(functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing), logits)


def checked_smoothing(label_smoothing: float) -> float:
    if not 0 <= label_smoothing < 1:
        raise ConfigError(
            f"loss.label_smoothing={label_smoothing} must be a part of the target: 0 (off) or more, below 1"
        )
    return label_smoothing
