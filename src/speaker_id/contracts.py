"""What the parts promise each other; the letters are the same in every file.

B batch, S samples, T frames, F feature bins, C channels, D pooled size, E embedding size,
K training speakers, N recordings. Channels come before time. Audio is mono float32 in [-1, 1].
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # importing torch takes seconds, and the gallery's commands need none of it
    from torch import Tensor

FloatArray: TypeAlias = NDArray[np.float32]

# A recording as people hand it in: a path, the bytes of a whole file, an open binary file, or samples with their rate.
Source: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | tuple[NDArray[np.generic] | Tensor, int]"


class LossOutput(NamedTuple):
    """What a loss returns. `logits` (B, K) carry no margin, so that accuracy means accuracy."""

    loss: Tensor
    logits: Tensor


class WaveformBatch(NamedTuple):
    """Collated utterances as the workers deliver them."""

    waveforms: Tensor  # (B, S)
    labels: Tensor  # (B,)
    indices: Tensor  # (B,) rows of the data list: duplicates are recognised by them


class FeatureBatch(NamedTuple):
    """The same batch on the device, after the feature."""

    features: Tensor  # (B, F, T)
    labels: Tensor  # (B,)
    indices: Tensor  # (B,)


class Feature(Protocol):
    """(B, S) -> (B, F, T), a module: deterministic, batched, plain torch."""

    sample_rate: int
    out_dim: int

    def __call__(self, waveforms: Tensor) -> Tensor: ...


class WaveformAugmentation(Protocol):
    """(S,), rng -> (S,): same length, same rate, silent on zeros, no global random state."""

    def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray: ...


class Backbone(Protocol):
    """(B, F, T) -> (B, C, T'), a module built as `Backbone(in_dim, *, ...)`; `out_dim` is C.

    `min_frames` is the smallest T it takes; `TINY` holds keyword values with which it trains in seconds, for tests.
    """

    TINY: ClassVar[Mapping[str, Any]]
    out_dim: int
    min_frames: int

    def __call__(self, features: Tensor) -> Tensor: ...


class Pooling(Protocol):
    """(B, C, T) -> (B, D), a module built as `Pooling(in_dim, *, ...)`; `out_dim` is D."""

    out_dim: int

    def __call__(self, frames: Tensor) -> Tensor: ...


class Loss(Protocol):
    """(B, E), (B,) -> LossOutput, a module built as `Loss(in_dim, num_speakers, *, ...)`."""

    def __call__(self, embeddings: Tensor, labels: Tensor) -> LossOutput: ...


@runtime_checkable
class HasMargin(Protocol):
    """A loss with a margin that a schedule may move."""

    margin: float


@runtime_checkable
class ComparesUtterances(Protocol):
    """A loss for batches that hold at least `utterances_per_speaker` utterances of each of their speakers."""

    utterances_per_speaker: ClassVar[int]


class OperatingPoint(NamedTuple):
    """Where a model decides: accept means `score >= threshold`. Saved with the model's weights.

    A calibrated one also says what a score is worth: `llr = llr_scale * score + llr_offset`, natural logarithm.
    """

    threshold: float
    source: str  # in words: on which trials it was chosen, and how
    llr_scale: float | None = None  # None with llr_offset: uncalibrated
    llr_offset: float | None = None
    target_fpr: float | None = None  # the false-accept rate that the threshold was chosen for
    num_nontargets: int | None = None  # trials that support it

    @property
    def calibrated(self) -> bool:
        return self.llr_scale is not None and self.llr_offset is not None


class Prepared(Protocol):
    """Embeddings made ready for scoring: what a back end works out once a recording. Higher means more alike."""

    def score(self, enrol_index: ArrayLike, test_index: ArrayLike) -> FloatArray:
        """Trial by trial: two row numbers each (M,), (M,) -> (M,)."""
        ...

    def matrix(self, enrol_index: NDArray[np.intp] | slice, test_index: NDArray[np.intp] | slice) -> FloatArray:
        """Each enrolment against each test: row numbers (A,), (B,), or slices -> (A, B)."""
        ...

    def all_pairs(self) -> FloatArray:
        """All pairs i < j, i enrolled: (N (N - 1) / 2,), in the order 01, 02, ... 12, 13, ..."""
        ...


class BackEnd(Protocol):
    """Embeddings and trials -> scores, in conf/backend; str() says in words what it does.

    `fit` comes first, with what `learns_from` names: unit rows (N, E) of other recordings than the evaluation's, and
    their speakers (N,).
    """

    learns_from: ClassVar[Literal["nothing", "recordings", "speakers"]]

    def fit(self, embeddings: FloatArray, speakers: ArrayLike) -> None: ...

    def prepare(self, embeddings: FloatArray) -> Prepared:
        """Unit rows (N, E)."""
        ...

    def score(self, embeddings: FloatArray, enrol_index: ArrayLike, test_index: ArrayLike) -> FloatArray:
        """Unit rows (N, E) and two row numbers per trial (M,), (M,) -> (M,)."""
        ...


class Embedder(Protocol):
    """Recordings -> unit rows (N, E); row i depends on recording i alone."""

    sample_rate: int
    dim: int
    fingerprint: str

    def __call__(self, waveforms: list[FloatArray]) -> FloatArray: ...


class Match(NamedTuple):
    """One enrolled user and how alike the query is: raw cosine, higher means more alike."""

    user: str
    score: float


class UserDetails(NamedTuple):
    """What a gallery keeps of a user besides embeddings. Times are in UTC."""

    metadata: Mapping[str, str] = {}  # the operator's own: {"department": "B"}
    consent: str | None = None  # in words: who agreed to what, when, and where that is written
    expires: datetime | None = None  # from then on the user is not found, and erased at the next write


class Enrolled(NamedTuple):
    """One user as the gallery shows it."""

    user: str
    num_recordings: int
    enrolled: datetime  # first recording kept, UTC
    changed: datetime  # latest change, UTC
    details: UserDetails


class Gallery(Protocol):
    """Enrolled users: durable and transactional. Names are data, never paths; queries change nothing.

    Embeddings are unit rows (n, E), kept singly. A user's score is the cosine with the direction of the mean of that
    user's embeddings, or the mean of the best k cosines with them singly, as the gallery was opened.
    """

    fingerprint: str
    dim: int

    def enrol(self, user: str, embeddings: FloatArray, *, details: UserDetails | None = None) -> int:
        """Add recordings to a user, new or known; returns the number kept now. `details` replace those there were."""
        ...

    def update(self, user: str, details: UserDetails) -> bool:
        """Replace a user's details; False if there is none of that name."""
        ...

    def remove(self, user: str) -> bool: ...
    def users(self) -> dict[str, int]: ...
    def num_users(self) -> int: ...
    def enrolled(self, user: str) -> Enrolled | None: ...
    def embeddings(self, user: str) -> FloatArray: ...
    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]: ...
    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """(Q, E) -> the matches of each row: one matrix product, not Q searches."""
        ...

    def close(self) -> None: ...


def as_path(source: str | os.PathLike[str]) -> Path:
    return Path(os.fspath(source)).expanduser()
