"""Pulls each cosine as hard as it has still to go."""

from torch import Tensor, nn
from torch.nn import functional

from speaker_id.contracts import LossOutput
from speaker_id.loss.cosine import CosineHead, margin_output


class Circle(nn.Module):
    """Circle loss over one weight vector a speaker: (B, E), (B,) -> LossOutput. Sun et al. 2020, arXiv 2002.10857.

    Cross-entropy over s a_p (cos - (1 - m)) for the target, a_p = max(0, 1 + m - cos), and s a_n (cos - m) for the
    others, a_n = max(0, cos + m); the weights a are constants to the gradient, as in the paper's equation 10. This
    margin is a radius: it *relaxes* the goal, and 0 asks for cosines of exactly 1 and 0. So it is no attribute
    `margin`, which a schedule would begin at 0.
    """

    def __init__(self, in_dim: int, num_speakers: int, *, margin: float, scale: float) -> None:
        super().__init__()
        self.radius = margin
        self.scale = scale
        self.head = CosineHead(in_dim, num_speakers)

    def forward(self, embeddings: Tensor, labels: Tensor) -> LossOutput:
        cosines = self.head(embeddings)
        column = labels.unsqueeze(1)
        target = cosines.gather(1, column)
        others = functional.relu(cosines.detach() + self.radius) * (cosines - self.radius)
        pulled = functional.relu(1 + self.radius - target.detach()) * (target - (1 - self.radius))
        return margin_output(cosines, others.scatter(1, column, pulled), labels, scale=self.scale)
