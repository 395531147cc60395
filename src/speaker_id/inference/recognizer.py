"""Recordings to decisions: compare two voices, enrol users, identify who speaks."""

import os
from collections.abc import Sequence
from typing import Self

import numpy as np

from speaker_id import audio, checkpoint
from speaker_id.contracts import Embedder, FloatArray, Gallery, OperatingPoint, Source
from speaker_id.errors import ConfigError, GalleryError, UnknownUser
from speaker_id.inference.decision import PRIOR, check_prior, check_threshold, comparison, identification, moved
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.names import shown
from speaker_id.inference.quality import check_recording
from speaker_id.inference.results import Comparison, Enrolment, Identification


class Recognizer:
    """Speaker recognition over one model and, for enrolled users, one gallery.

        with Recognizer.load("run/checkpoints/best.ckpt", gallery="gallery.db") as recognizer:
            recognizer.enrol("Ada", "ada-1.wav", "ada-2.wav")
            recognizer.identify("somebody.wav").user

    A source is a path, the bytes of a file, an open binary file, or `(samples, sample rate)`. No call changes what
    the next one answers, except `enrol` and `remove`. Every method raises AudioError (TooShort, NoSpeech) for a
    recording it cannot use.
    """

    def __init__(
        self, embedder: Embedder, *, gallery: Gallery | None = None, operating_point: OperatingPoint | None = None
    ) -> None:
        if gallery is not None and gallery.fingerprint != embedder.fingerprint:
            raise GalleryError(
                f"the gallery holds embeddings of model {gallery.fingerprint[:12]}, the embedder is model "
                f"{embedder.fingerprint[:12]}: their scores mean nothing; use the gallery of this model"
            )
        self._embedder = embedder
        self._gallery = gallery
        self._operating_point = operating_point

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        gallery: str | os.PathLike[str] | Gallery | None = None,
        threshold: float | None = None,
        device: str = "cpu",
    ) -> Self:
        """From a run folder, checkpoint or bundle folder; a gallery given as a path is created where there is none.

        `threshold` replaces the model's own, not its calibration. Raises CheckpointError, GalleryError, ConfigError.
        """
        if threshold is not None:
            check_threshold(threshold)  # before the seconds that loading takes
        loaded = checkpoint.load(model)
        point = loaded.operating_point
        if threshold is not None:
            point = moved(point, threshold, "given when the recognizer was loaded")
        embedder = ModelEmbedder(loaded, device=device)
        if isinstance(gallery, str | os.PathLike):
            gallery = SqliteGallery.open(gallery, fingerprint=embedder.fingerprint, dim=embedder.dim)
        return cls(embedder, gallery=gallery, operating_point=point)

    def compare(self, a: Source, b: Source, *, threshold: float | None = None, prior: float = PRIOR) -> Comparison:
        """Are two recordings of one speaker? Symmetric. `threshold` counts for this call alone.

        `prior` is how probable one speaker was before anybody listened; it moves the probability, not the decision.
        """
        point = self._point(threshold)
        check_prior(prior)
        first, second = self._embed([a, b]).astype(np.float64)
        return comparison(float(np.clip(first @ second, -1.0, 1.0)), point, prior)

    def identify(
        self, source: Source, *, threshold: float | None = None, limit: int = 5, prior: float = PRIOR
    ) -> Identification:
        """Who is it? The best enrolled user if the score reaches the threshold, otherwise nobody.

        `limit` is the number of candidates to list; `threshold` counts for this call alone; `prior` is how probable
        the best user was before anybody listened.
        """
        gallery = self._opened_gallery()
        point = self._point(threshold)
        check_prior(prior)
        if limit < 1:
            raise ConfigError(f"limit is {limit}: ask for at least one candidate")
        matches = gallery.search(self.embed(source), limit=max(limit, 2))
        return identification(matches, point, prior, limit)

    def enrol(self, user: str, *sources: Source) -> Enrolment:
        """Add recordings to a user, new or known: all of them, or none if one cannot be used."""
        gallery = self._opened_gallery()
        if not sources:
            raise ConfigError(f"enrolling {shown(user)} needs at least one recording")
        kept = gallery.enrol(user, self._embed(sources))
        return Enrolment(user, num_recordings_added=len(sources), num_recordings=kept)

    def remove(self, user: str) -> None:
        """Delete a user and all embeddings; raises UnknownUser."""
        if not self._opened_gallery().remove(user):
            raise UnknownUser(f"nobody called {shown(user)} is enrolled: names must match exactly")

    def users(self) -> dict[str, int]:
        """Every enrolled user with the number of recordings kept."""
        return self._opened_gallery().users()

    def embed(self, source: Source) -> FloatArray:
        """One recording -> (E,), a unit vector in float32."""
        row: FloatArray = self._embed([source])[0]
        return row

    def close(self) -> None:
        """Close the gallery."""
        if self._gallery is not None:
            self._gallery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _embed(self, sources: Sequence[Source]) -> FloatArray:
        waveforms = []
        for number, source in enumerate(sources, start=1):
            waveform = audio.load(source, self._embedder.sample_rate)
            name = str(source) if isinstance(source, str | os.PathLike) else f"recording {number} of {len(sources)}"
            check_recording(waveform, self._embedder.sample_rate, name=name)
            waveforms.append(waveform)
        return self._embedder(waveforms)

    def _opened_gallery(self) -> Gallery:
        if self._gallery is None:
            raise GalleryError("no gallery to keep users in: load the recognizer with gallery='gallery.db'")
        return self._gallery

    def _point(self, threshold: float | None) -> OperatingPoint:
        if threshold is not None:
            return moved(self._operating_point, threshold, "given for this call")
        if self._operating_point is None:
            raise ConfigError(
                "this model has no operating point, so nothing says which score is enough: pass threshold=, or let "
                "`python -m speaker_id.calibrate` choose one and save it with the model"
            )
        return self._operating_point
