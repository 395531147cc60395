"""Backbone, pooling and projection put together; the attribute names are the checkpoint format."""

from collections.abc import Sequence

from torch import Tensor, nn

from speaker_id.errors import TooShort


class Projection(nn.Module):
    """Pooled statistics to the embedding: (B, D) -> (B, E); hidden layers are linear, ReLU, batch normalisation."""

    def __init__(self, in_dim: int, *, dim: int, input_norm: bool, hidden_dims: Sequence[int] = ()) -> None:
        super().__init__()
        self.out_dim = dim
        layers: list[nn.Module] = [nn.BatchNorm1d(in_dim)] if input_norm else []
        for hidden in hidden_dims:
            layers += [nn.Linear(in_dim, hidden), nn.ReLU(inplace=True), nn.BatchNorm1d(hidden)]
            in_dim = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(in_dim, dim))

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
