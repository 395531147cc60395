"""PLDA: the log-likelihood ratio of two embeddings coming from one speaker, under Gaussians learnt from speakers."""

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import ConfigError
from speaker_id.scoring.backend import PreparingBackEnd, learnt, mean_of, named_speaker_numbers
from speaker_id.scoring.lda import Discriminant, discriminant, refuse_single_recordings
from speaker_id.scoring.pairs import FloatArray, normalise
from speaker_id.scoring.prepared import Prepared
from speaker_id.scoring.two_covariance import TwoCovariance, fit_two_covariance


class Plda(PreparingBackEnd):
    """Centring, LDA to `lda_dim` if given, rows of unit length if `length_norm`, then the two-covariance model.

    Length normalisation makes embeddings more Gaussian: Garcia-Romero & Espy-Wilson, "Analysis of i-vector length
    normalization in speaker recognition systems", 2011.
    """

    learns_from = "speakers"

    def __init__(
        self, *, lda_dim: int | None = None, length_norm: bool = True, iterations: int = 10, shrinkage: float = 0.0
    ) -> None:
        if (lda_dim is not None and lda_dim < 1) or iterations < 0 or not 0 <= shrinkage < 1:
            raise ConfigError(
                "lda_dim must be at least 1 or null, iterations not negative and shrinkage at least 0 and below 1, "
                f"got {lda_dim=}, {iterations=}, {shrinkage=}"
            )
        self.lda_dim = lda_dim
        self.length_norm = length_norm
        self.iterations = iterations
        self.shrinkage = shrinkage
        self._before: Discriminant | None = None
        self._model: TwoCovariance

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        numbers = named_speaker_numbers(speakers, len(embeddings))
        refuse_single_recordings(len(embeddings), np.unique(numbers).size, "PLDA")
        if self.lda_dim is None:
            before = Discriminant(mean_of(embeddings), np.eye(embeddings.shape[1]))
        else:
            before = discriminant(embeddings, numbers, self.lda_dim)
        rows = self._rows(before, embeddings).astype(np.float64)
        self._model = fit_two_covariance(rows, numbers, iterations=self.iterations, shrinkage=self.shrinkage)
        self._before = before

    def prepare(self, embeddings: FloatArray) -> Prepared:
        rows = self._rows(learnt(self._before), embeddings)
        return self._model.prepare(rows.astype(np.float64))

    def _rows(self, before: Discriminant, embeddings: FloatArray) -> FloatArray:
        projected = before(embeddings)
        return normalise(projected) if self.length_norm else projected

    def __str__(self) -> str:
        return "PLDA" if self.lda_dim is None else f"PLDA after LDA to {self.lda_dim} dimensions"
