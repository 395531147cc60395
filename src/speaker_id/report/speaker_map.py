"""Embeddings of a few speakers in the plane, for the eye: near each other means alike, distances mean nothing."""

import importlib
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from speaker_id.contracts import FloatArray
from speaker_id.errors import ConfigError
from speaker_id.report.evaluation import Recordings

MAX_SPEAKERS = 18  # as many as six colours and three shapes tell apart
MAX_RECORDINGS = 25  # of one speaker
MIN_RECORDINGS = 2
MIN_SPEAKERS = 3

Projection = Literal["tsne", "umap"]


class Place(NamedTuple):
    """One recording in the plane, both coordinates in 0...1."""

    x: float
    y: float
    speaker: str
    recording: str


class SpeakerMap(NamedTuple):
    method: str  # in words
    num_speakers: int  # to choose from
    places: tuple[Place, ...]

    @property
    def speakers(self) -> list[str]:
        return list(dict.fromkeys(place.speaker for place in self.places))


def check_projection(projection: str) -> None:
    """Raise `ConfigError` for one that does not exist, or for "umap" where umap-learn is not installed."""
    if projection not in (known := get_args(Projection)):
        raise ConfigError(f"report_map={projection} does not exist; there are: {', '.join(known)}")
    if projection == "umap" and find_spec("umap") is None:
        raise ConfigError("report_map=umap needs umap-learn: pip install umap-learn, or take report_map=tsne")


def speaker_map(recordings: Recordings, projection: Projection, rng: np.random.Generator) -> SpeakerMap | None:
    """A map of speakers drawn at random; None where fewer than three have two recordings.

    Raises `ConfigError` as `check_projection` does.
    """
    check_projection(projection)
    rows_of: dict[str, list[int]] = {}
    for row, (speaker, path) in enumerate(zip(recordings.speakers, recordings.paths, strict=True)):
        if speaker and path:
            rows_of.setdefault(speaker, []).append(row)
    several = sorted(speaker for speaker, rows in rows_of.items() if len(rows) >= MIN_RECORDINGS)
    if len(several) < MIN_SPEAKERS:
        return None
    drawn = sorted(several[at] for at in rng.permutation(len(several))[:MAX_SPEAKERS])
    rows = [int(row) for speaker in drawn for row in rng.permutation(rows_of[speaker])[:MAX_RECORDINGS]]
    method, plane = _plane(recordings.embeddings[rows], projection)
    plane = (plane - plane.min(axis=0)) / np.maximum(np.ptp(plane, axis=0), 1e-12)
    places = [
        Place(float(x), float(y), recordings.speakers[row], recordings.names[row])
        for row, (x, y) in zip(rows, plane, strict=True)
    ]
    return SpeakerMap(method, len(several), tuple(places))


def _plane(embeddings: FloatArray, projection: Projection) -> tuple[str, NDArray[Any]]:
    """(N, E) -> its name in words, (N, 2); the same in every run."""
    num = len(embeddings)
    if projection == "umap":
        umap = importlib.import_module("umap")  # takes 12 s
        places = umap.UMAP(metric="cosine", n_neighbors=min(15, num - 1), random_state=0).fit_transform(embeddings)
        return "UMAP", places
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (num - 1) / 3)
    # Euclidean distances of unit rows order them as cosine does, and the principal axes make a start without chance.
    places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(embeddings)
    return f"t-SNE, perplexity {perplexity:g}", places
