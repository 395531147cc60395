"""Scores measured against a cohort: how a recording scores against people who are certainly somebody else."""

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import ConfigError, DataError
from speaker_id.scoring.backend import PreparingBackEnd, centred, learnt, mean_of, named_speaker_numbers, speaker_sums
from speaker_id.scoring.pairs import BLOCK_SCORES, FloatArray, cosine, normalise
from speaker_id.scoring.prepared import Prepared

SMALLEST_DEVIATION = 1e-6  # of cosines in float32: below it is rounding


class CohortStatistics(NamedTuple):
    """Mean and standard deviation of each recording's scores against the cohort, each (N,)."""

    mean: FloatArray
    deviation: FloatArray


def cohort_statistics(embeddings: FloatArray, cohort: FloatArray, *, top_k: int | None = None) -> CohortStatistics:
    """Unit rows (N, E) against unit rows (C, E), the `top_k` highest scores of each or all; in blocks of rows."""
    mean, deviation = np.empty((2, len(embeddings)), np.float32)
    step = max(1, BLOCK_SCORES // len(cohort))
    for start in range(0, len(embeddings), step):
        block = slice(start, start + step)
        scores = cosine(embeddings[block], cohort)
        if top_k is not None and top_k < len(cohort):
            scores.partition(len(cohort) - top_k, axis=1)
            scores = scores[:, len(cohort) - top_k :]
        mean[block] = scores.mean(axis=1, dtype=np.float64)
        deviation[block] = scores.std(axis=1, dtype=np.float64)
    return CohortStatistics(mean, deviation)


class _CohortNorm(PreparingBackEnd):
    """(s - mean) / deviation over cohort scores, by the enrolment's, the test's, or half by each."""

    learns_from = "recordings"
    name: ClassVar[str]
    enrol_share: ClassVar[float]

    def __init__(self, *, per_speaker: bool, centre: bool, top_k: int | None = None) -> None:
        if top_k is not None and top_k < 2:
            raise ConfigError(f"top_k must be at least 2, as one score has no deviation, got {top_k}")
        self.top_k = top_k
        self.per_speaker = per_speaker
        self.centre = centre
        self._mean: FloatArray | None = None  # zeros without `centre`
        self._cohort: FloatArray

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        mean = mean_of(embeddings)
        mean = mean if self.centre else np.zeros_like(mean)
        cohort = normalise(embeddings - mean)
        if self.per_speaker:
            cohort = normalise(speaker_sums(cohort, named_speaker_numbers(speakers, len(cohort))))
        if len(cohort) < (needed := self.top_k or 2):
            raise DataError(
                f"{self.name} needs a cohort of at least {needed} {self._unit}, got {len(cohort)}: "
                f"give it a longer list{', a smaller top_k' * (self.top_k is not None)}"
                f"{', or per_speaker=false' * self.per_speaker}"
            )
        self._mean, self._cohort = mean, cohort

    def statistics(self, embeddings: FloatArray) -> CohortStatistics:
        """(N, E) -> per recording; its mean is a quality for `speaker_id.calibration`. Raises `DataError` before `fit`.

        So does a recording that scores alike against the whole cohort: nothing can be measured by it.
        """
        return self._checked_statistics(self._centred(embeddings))

    def prepare(self, embeddings: FloatArray) -> Prepared:
        rows = self._centred(embeddings)
        mean, deviation = self._checked_statistics(rows)
        scale: FloatArray = np.reciprocal(deviation)
        enrol, test = np.float32(self.enrol_share), np.float32(1 - self.enrol_share)
        return Prepared(rows, enrol * scale, test * scale, -enrol * mean * scale, -test * mean * scale)

    def _centred(self, embeddings: FloatArray) -> FloatArray:
        return normalise(centred(embeddings, learnt(self._mean)))

    def _checked_statistics(self, rows: FloatArray) -> CohortStatistics:
        statistics = cohort_statistics(rows, self._cohort, top_k=self.top_k)
        if (flat := np.flatnonzero(statistics.deviation < SMALLEST_DEVIATION)).size:
            raise DataError(
                f"embedding {flat[0]} (counted from 0; {flat.size} like it) scores alike against all of the cohort's "
                f"{self.top_k or len(self._cohort)} {self._unit}, so {self.name} has nothing to measure by: "
                "give it a cohort of more different voices"
            )
        return statistics

    @property
    def _unit(self) -> str:
        return "speakers" if self.per_speaker else "recordings"

    def __str__(self) -> str:
        size = "a cohort" if self._mean is None else f"{len(self._cohort)} {self._unit}"
        nearest = "" if self.top_k is None else f"{self.top_k} nearest of "
        return f"{self.name}, {nearest}{size}{', centred' * self.centre}"


class AsNorm(_CohortNorm):
    """Adaptive symmetric normalisation: each recording is measured by its own `top_k` nearest of the cohort.

    AS-norm1 of Matějka et al., "Analysis of score normalization in multilingual speaker recognition", 2017.
    """

    name = "AS-norm"
    enrol_share = 0.5

    def __init__(self, *, top_k: int, per_speaker: bool = True, centre: bool = False) -> None:
        super().__init__(top_k=top_k, per_speaker=per_speaker, centre=centre)


class SNorm(_CohortNorm):
    """Symmetric normalisation by the whole cohort: the mean of Z-norm and T-norm. Kenny, "Bayesian PLDA", 2010."""

    name = "S-norm"
    enrol_share = 0.5

    def __init__(self, *, per_speaker: bool = True, centre: bool = False) -> None:
        super().__init__(per_speaker=per_speaker, centre=centre)


class ZNorm(_CohortNorm):
    """By the enrolment's scores against the cohort. Not symmetric. Auckenthaler et al. 2000, section 2."""

    name = "Z-norm"
    enrol_share = 1.0

    def __init__(self, *, per_speaker: bool = False, centre: bool = False) -> None:
        super().__init__(per_speaker=per_speaker, centre=centre)


class TNorm(_CohortNorm):
    """By the test's scores against the cohort, people as if enrolled. Not symmetric. Auckenthaler et al. 2000."""

    name = "T-norm"
    enrol_share = 0.0

    def __init__(self, *, per_speaker: bool = True, centre: bool = False) -> None:
        super().__init__(per_speaker=per_speaker, centre=centre)
