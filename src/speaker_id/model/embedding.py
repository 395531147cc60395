"""Backbone, pooling and projection put together; the attribute names are the checkpoint format."""

from collections.abc import Sequence

from torch import Tensor, nn

from speaker_id.contracts import Fusible
from speaker_id.errors import ConfigError, TooShort

OUTPUTS = ("linear", "relu", "norm")


class Projection(nn.Module):
    """Pooled statistics to the embedding: (B, D) -> (B, E); hidden layers are linear, ReLU, batch normalisation.

    `output` ends the last layer: `linear`, `relu`, or `norm`, a batch normalisation without scale and shift, before
    which the layer needs no bias. Raises ConfigError for another.
    """

    def __init__(
        self, in_dim: int, *, dim: int, input_norm: bool, hidden_dims: Sequence[int] = (), output: str = "linear"
    ) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise ConfigError(f"model.projection.output={output!r} does not exist; choose one of {', '.join(OUTPUTS)}")
        self.out_dim = dim
        layers: list[nn.Module] = [nn.BatchNorm1d(in_dim)] if input_norm else []
        for hidden in hidden_dims:
            layers += [nn.Linear(in_dim, hidden), nn.ReLU(inplace=True), nn.BatchNorm1d(hidden)]
            in_dim = hidden
        layers.append(nn.Linear(in_dim, dim, bias=output != "norm"))
        if output != "linear":
            layers.append(nn.BatchNorm1d(dim, affine=False) if output == "norm" else nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, pooled: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(pooled)
        return embeddings


class EmbeddingModel(nn.Module):
    """Features to embeddings, not normalised: (B, F, T) -> (B, E). Raises TooShort below the backbone's least T."""

    def __init__(self, backbone: nn.Module, pooling: nn.Module, projection: Projection) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.projection = projection
        self.out_dim = projection.out_dim
        self.min_frames: int = backbone.min_frames  # type: ignore[assignment]

    def forward(self, features: Tensor) -> Tensor:
        if features.shape[-1] < self.min_frames:
            name = type(self.backbone).__name__
            raise TooShort(f"{name} needs {self.min_frames} frames or more, not {features.shape[-1]}; record more")
        embeddings: Tensor = self.projection(self.pooling(self.backbone(features)))
        return embeddings


def deployed(model: nn.Module) -> nn.Module:
    """The model as it is used: a copy with the backbone `fused` where that trains in another form, else itself."""
    if not isinstance(model, EmbeddingModel) or not isinstance(model.backbone, Fusible):
        return model
    return EmbeddingModel(model.backbone.fused(), model.pooling, model.projection).train(model.training)
