"""Linear discriminant analysis: the directions in which speakers differ most for how much each of them varies."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import ConfigError, DataError
from speaker_id.scoring.backend import PreparingBackEnd, centred, learnt, mean_of, named_speaker_numbers
from speaker_id.scoring.pairs import FloatArray, normalise
from speaker_id.scoring.prepared import Prepared, plain

Array = NDArray[np.float64]


class Discriminant(NamedTuple):
    """rows -> (rows - mean) @ projection."""

    mean: FloatArray  # (E,)
    projection: Array  # (E, D)

    def __call__(self, embeddings: FloatArray) -> FloatArray:
        """(N, E) -> (N, D)"""
        projected: FloatArray = (centred(embeddings, self.mean) @ self.projection).astype(np.float32)
        return projected


def discriminant(
    embeddings: FloatArray, numbers: NDArray[np.intp], dim: int, *, shrinkage: float | None = None
) -> Discriminant:
    """Fit (N, E) and speaker numbers (N,). Raises `DataError` when they cannot show `dim` directions."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    num_speakers = np.unique(numbers).size
    refuse_single_recordings(len(embeddings), num_speakers, "LDA")
    if dim > (most := min(embeddings.shape[1], num_speakers - 1)):
        raise DataError(
            f"LDA cannot find {dim} directions among {num_speakers} speakers and {embeddings.shape[1]} dimensions: "
            f"at most {most} (one less than there are speakers); ask for fewer, or give it more speakers"
        )
    solver = "svd" if shrinkage is None else "eigen"
    lda = LinearDiscriminantAnalysis(solver=solver, shrinkage=shrinkage, n_components=dim)
    lda.fit(embeddings.astype(np.float64), numbers)
    if lda.scalings_.shape[1] < dim:
        raise DataError(f"LDA found only {lda.scalings_.shape[1]} of {dim} directions: recordings repeat each other")
    return Discriminant(mean_of(embeddings), lda.scalings_[:, :dim])


def refuse_single_recordings(num_recordings: int, num_speakers: int, name: str) -> None:
    """Raise `DataError` when nobody speaks twice, or everything is by one speaker."""
    if num_recordings <= num_speakers:
        raise DataError(
            f"{name} must see how one speaker varies, but each of the {num_speakers} speakers has a single recording: "
            "give it several recordings of a speaker"
        )
    if num_speakers < 2:
        raise DataError(f"{name} must see how speakers differ, but all {num_recordings} recordings are by one")


class LdaCosine(PreparingBackEnd):
    """The cosine after a projection to the `dim` directions that tell speakers apart best."""

    learns_from = "speakers"

    def __init__(self, *, dim: int, shrinkage: float | None = None) -> None:
        if dim < 1 or not 0 <= (shrinkage or 0) <= 1:
            raise ConfigError(f"dim must be at least 1 and shrinkage lie in 0...1, got {dim=}, {shrinkage=}")
        self.dim = dim
        self.shrinkage = shrinkage
        self._discriminant: Discriminant | None = None

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        numbers = named_speaker_numbers(speakers, len(embeddings))
        self._discriminant = discriminant(embeddings, numbers, self.dim, shrinkage=self.shrinkage)

    def prepare(self, embeddings: FloatArray) -> Prepared:
        return plain(normalise(learnt(self._discriminant)(embeddings)))

    def __str__(self) -> str:
        return f"cosine after LDA to {self.dim} dimensions"
