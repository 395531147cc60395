"""GE2E d-vector weights as Resemblyzer and Real-Time-Voice-Cloning write them."""

from collections.abc import Mapping

from torch import Tensor

from speaker_id.pretrained.renaming import Rule, renamed

RULES: list[Rule] = [
    (r"lstm\.((?:weight|bias)_[ih]h_l\d+)", r"backbone.lstm.\1"),
    (r"linear\.(weight|bias)", r"projection.layers.0.\1"),
]
LOSS = ("similarity_weight", "similarity_bias")  # GE2E's own scale and offset


def from_resemblyzer(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of our EmbeddingModel (`model=dvector`) from a `VoiceEncoder`'s `model_state`.

    Its features are 40 mel powers, neither logarithmic nor normalised. Raises CheckpointError for weights of another
    network.
    """
    return renamed(weights, RULES, source="d-vector weights", ignored=LOSS)
