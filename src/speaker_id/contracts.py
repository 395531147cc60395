"""What the parts promise each other; the letters are the same in every file.

B batch, S samples, T frames, F feature bins, C channels, D pooled size, E embedding size,
K training speakers, N recordings. Channels come before time. Audio is mono float32 in [-1, 1].
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # importing torch takes seconds, and the gallery's commands need none of it
    from torch import Tensor

FloatArray: TypeAlias = NDArray[np.float32]
Stretches: TypeAlias = NDArray[np.int64]  # (n, 2) of a recording: first sample, the one after the last; rising, apart

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


class SpeechDetector(Protocol):
    """(S,), sample rate -> where somebody speaks, in conf/vad: deterministic, any length, many threads at once."""

    @property
    def identity(self) -> str:
        """Name, version and options: what has the same finds the same."""
        ...

    def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches: ...


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


@runtime_checkable
class Fusible(Protocol):
    """A backbone that trains in another form than it is used in: `fused()` is the latter, and gives the same."""

    def fused(self) -> Any: ...


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

    def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
        """Whole recordings (S,); `names` are for messages."""
        ...

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        """Parts of recordings as they are: no model cuts silence from them."""
        ...


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


class GalleryEvent(NamedTuple):
    """One line of a gallery's audit log: no voice, no score, no name."""

    time: datetime  # UTC
    action: str  # enrol, import, update, remove, restore, erase, expire, copy, rotate key
    user_tag: str | None  # stands for a name, by a random key of this gallery: who knows the name finds it by `events`
    num_recordings: int  # that were added, hidden, restored or erased
    by: str | None  # who did it, in words, where the caller said


class GalleryCopy(NamedTuple):
    """An export or backup: whoever is removed afterwards may still be in it."""

    time: datetime  # UTC
    description: str  # in words: what it is and where


class Gallery(Protocol):
    """Enrolled users: durable and transactional. Names are data, never paths; queries change nothing.

    Embeddings are unit rows (n, E), kept singly. A user's score is the cosine with the direction of the mean of that
    user's embeddings, or the mean of the best k cosines with them singly, as the gallery was opened.

    Each change writes its events in the same transaction: what is acknowledged is logged. `by` says in words who did
    it (an API key's name, a user of the operating system).
    """

    fingerprint: str
    dim: int
    keeps_recordings: bool  # whether recordings given to `enrol` are stored, encrypted

    def enrol(
        self,
        user: str,
        embeddings: FloatArray,
        *,
        details: UserDetails | None = None,
        recordings: Sequence[bytes | None] | None = None,
        enrolled: datetime | None = None,
        by: str | None = None,
    ) -> int:
        """Add recordings to a user, new or known; returns the number kept now.

        `details` are merged into those there were: consent and expires where they are given, metadata key by key.
        `recordings` are whole files, one a row or None, for a gallery that keeps them (GalleryError otherwise).
        `enrolled` is when these were first kept elsewhere (an import), not after now; the user's own is the earliest.
        A removed user of that name who could still be restored is erased.
        """
        ...

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> bool:
        """Replace all details of a user; False if there is none of that name."""
        ...

    def remove(self, user: str, *, by: str | None = None) -> bool:
        """Take a user out of everything at once; False if there is none of that name.

        Erased now or, where the gallery was opened with a grace time, at the first write after it. Without a grace
        time somebody who was removed before, and could still be restored, is erased now (True).
        """
        ...

    def restore(self, user: str, *, by: str | None = None) -> bool:
        """Undo `remove` within its grace time: exactly what was there. False where nothing can be restored."""
        ...

    def users(self) -> dict[str, int]: ...
    def num_users(self) -> int: ...
    def enrolled(self, user: str) -> Enrolled | None: ...
    def embeddings(self, user: str) -> FloatArray: ...
    def recordings(self, user: str) -> list[bytes | None]:
        """The files behind the embeddings, in their order; None for one that was not stored."""
        ...

    def events(self, *, user: str | None = None, limit: int = 1000) -> list[GalleryEvent]:
        """The audit log, newest first: of everybody, or of a name, be that user removed or not."""
        ...

    def record_copy(self, description: str, *, by: str | None = None) -> None:
        """Note that an export or backup was made: its place, in words."""
        ...

    def copies(self) -> list[GalleryCopy]:
        """Where what was removed may still be, newest first: to be told to whoever removes somebody."""
        ...

    def search(self, embedding: FloatArray, *, limit: int = 5) -> list[Match]: ...
    def search_many(self, embeddings: FloatArray, *, limit: int = 5) -> list[list[Match]]:
        """(Q, E) -> the matches of each row: one matrix product, not Q searches."""
        ...

    def close(self) -> None: ...


def as_path(source: str | os.PathLike[str]) -> Path:
    return Path(os.fspath(source)).expanduser()
