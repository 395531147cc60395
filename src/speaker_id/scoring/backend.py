"""What all back ends share, and the two that learn nothing or a mean."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speaker_id.errors import DataError
from speaker_id.scoring.pairs import FloatArray, normalise, speaker_numbers
from speaker_id.scoring.prepared import Prepared, plain

LearnsFrom = Literal["nothing", "recordings", "speakers"]
State = TypeVar("State")


class PreparingBackEnd(ABC):
    """A `contracts.BackEnd` that works out `prepare` per recording first; str() says in words what it does."""

    learns_from: ClassVar[LearnsFrom]

    @abstractmethod
    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        """Learn from unit rows (N, E) of other recordings, and their speakers (N,); forget what was learnt before."""

    @abstractmethod
    def prepare(self, embeddings: FloatArray) -> Prepared:
        """Unit rows (N, E) -> ready to score, in blocks of trials or all pairs. Raises `DataError` before `fit`."""

    def score(self, embeddings: FloatArray, enrol_index: ArrayLike, test_index: ArrayLike) -> FloatArray:
        """Trial by trial; whoever scores in blocks calls `prepare` once instead."""
        return self.prepare(embeddings).score(enrol_index, test_index)


class Cosine(PreparingBackEnd):
    """The cosine of the two embeddings."""

    learns_from = "nothing"

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        """Nothing to learn."""

    def prepare(self, embeddings: FloatArray) -> Prepared:
        return plain(embeddings)

    def __str__(self) -> str:
        return "cosine"


class CentredCosine(PreparingBackEnd):
    """The cosine after subtracting the mean embedding of other recordings, which all voices share."""

    learns_from = "recordings"

    def __init__(self) -> None:
        self._mean: FloatArray | None = None

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None:
        self._mean = mean_of(embeddings)

    def prepare(self, embeddings: FloatArray) -> Prepared:
        return plain(normalise(centred(embeddings, learnt(self._mean))))

    def __str__(self) -> str:
        return "cosine of centred embeddings"


def mean_of(embeddings: FloatArray) -> FloatArray:
    """(N, E) -> (E,); raises `DataError` without a row."""
    if not len(embeddings):
        raise DataError("the back end's cohort has no recordings to learn from")
    mean: FloatArray = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def learnt(state: State | None) -> State:
    """What `fit` found; raises `DataError` before `fit`."""
    if state is None:
        raise DataError("the back end has learnt nothing yet: call fit with embeddings of other recordings first")
    return state


def centred(embeddings: FloatArray, mean: FloatArray) -> FloatArray:
    """(N, E) - (E,); raises `DataError` for embeddings of another size than the mean's."""
    if embeddings.ndim != 2 or embeddings.shape[1] != mean.size:
        raise DataError(f"the back end learnt from embeddings of size {mean.size}, got shape {embeddings.shape}")
    return embeddings - mean


def named_speaker_numbers(speakers: ArrayLike, num: int) -> NDArray[np.intp]:
    """Numbers 0... for the speakers of `num` recordings; raises `DataError` when one of them has no name."""
    names = np.asarray(speakers)
    numbers = speaker_numbers(names, num).numbers
    if names.dtype.kind == "U" and (unknown := np.flatnonzero(names == "")).size:
        raise DataError(f"recording {unknown[0]} (counted from 0) has no speaker, but this back end needs each one's")
    return numbers


def speaker_sums(rows: NDArray[np.floating], numbers: NDArray[np.intp]) -> NDArray[np.float64]:
    """(N, D), (N,) -> the sum of each speaker's rows (K, D)."""
    sums = np.zeros((int(numbers.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums, numbers, rows)
    return sums
