"""Recordings to decisions: compare two voices, enrol users, identify who speaks."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from speaker_id import audio, checkpoint
from speaker_id.contracts import Embedder, Enrolled, FloatArray, Gallery, OperatingPoint, Source, UserDetails
from speaker_id.errors import ConfigError, GalleryError, UnknownUser
from speaker_id.inference.decision import (
    PRIOR,
    check_limit,
    check_margin,
    check_prior,
    check_threshold,
    compared,
    identified,
    moved,
)
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.galleries import USUAL, GalleryLocation, GalleryOptions, open_gallery
from speaker_id.inference.kept_recordings import files_to_keep
from speaker_id.inference.names import shown, unknown_user
from speaker_id.inference.quality import Quality, QualityLimits, check_recording
from speaker_id.inference.quality_enrolment import warnings_of
from speaker_id.inference.results import Comparison, Enrolment, Identification
from speaker_id.inference.voices import judged_voices
from speaker_id.pretrained.catalogue import model_path


class Recognizer:
    """Speaker recognition over one model and, for enrolled users, one gallery.

        with Recognizer.load("run/checkpoints/best.ckpt", gallery="gallery.db") as recognizer:
            recognizer.enrol("Ada", "ada-1.wav", "ada-2.wav")
            recognizer.identify("somebody.wav").user

    A source is a path, the bytes of a file, an open binary file, or `(samples, sample rate)`. No call changes what
    the next one answers, except `enrol`, `update`, `remove` and `restore`. Every method raises AudioError (TooShort,
    NoSpeech) for a recording it cannot use; `limits` says which those are.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        gallery: Gallery | None = None,
        operating_point: OperatingPoint | None = None,
        limits: QualityLimits | None = None,
        allow_urls: bool = False,
    ) -> None:
        if gallery is not None and gallery.fingerprint != embedder.fingerprint:
            raise GalleryError(
                f"the gallery holds embeddings of model {gallery.fingerprint[:12]}, the embedder is model "
                f"{embedder.fingerprint[:12]}: their scores mean nothing; use the gallery of this model"
            )
        self._embedder = embedder
        self._gallery = gallery
        self._operating_point = operating_point
        self._limits = limits
        self._allow_urls = allow_urls

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        gallery: GalleryLocation | Gallery | None = None,
        gallery_options: GalleryOptions = USUAL,
        threshold: float | None = None,
        device: str = "cpu",
        limits: QualityLimits | None = None,
        allow_urls: bool = False,
    ) -> Self:
        """From a run folder, checkpoint, bundle folder, or the name of a fetched pretrained model.

        A gallery given as a path, or as the `postgresql://` URL of a database, is opened with `gallery_options`, and
        created where there is none. `threshold` replaces the model's own, not its calibration. With `allow_urls` a
        source may be the http or https address of a recording, which is fetched: `audio.fetch` says within which
        limits. Raises CheckpointError, GalleryError, ConfigError.
        """
        if threshold is not None:
            check_threshold(threshold)  # before the seconds that loading takes
        loaded = checkpoint.load(model_path(model))
        point = loaded.operating_point
        if threshold is not None:
            point = moved(point, threshold, "given when the recognizer was loaded")
        embedder = ModelEmbedder(loaded, device=device)
        if isinstance(gallery, str | os.PathLike):
            gallery = open_gallery(gallery, fingerprint=embedder.fingerprint, dim=embedder.dim, options=gallery_options)
        return cls(embedder, gallery=gallery, operating_point=point, limits=limits, allow_urls=allow_urls)

    def compare(self, a: Source, b: Source, *, threshold: float | None = None, prior: float = PRIOR) -> Comparison:
        """Are two recordings of one speaker? Symmetric. `threshold` counts for this call alone.

        `prior` is how probable one speaker was before anybody listened; it moves the probability, not the decision.
        """
        point = self._point(threshold)
        check_prior(prior)
        waveforms, quality = self._heard([a, b])
        return replace(compared(self._embedder(waveforms, names=_names([a, b])), point, prior), quality=tuple(quality))

    def identify(
        self,
        source: Source,
        *,
        threshold: float | None = None,
        limit: int = 5,
        prior: float = PRIOR,
        min_margin: float | None = None,
        gallery_size_rule: bool | None = None,
    ) -> Identification:
        """Who is it? The best enrolled user if the score reaches the threshold, otherwise nobody.

        `limit` is the number of candidates to list; `threshold` counts for this call alone; `prior` is how probable
        the best user was before anybody listened. `min_margin`, where given, is how much the best score must be over
        the next user's. `gallery_size_rule` raises the threshold for the number of users, so that a stranger is named
        no more often than the operating point allows one comparison to err; by default it does where the model is
        calibrated for a false-accept rate and no threshold is given, which then counts as it is.
        """
        return self.identify_many(
            [source],
            threshold=threshold,
            limit=limit,
            prior=prior,
            min_margin=min_margin,
            gallery_size_rule=gallery_size_rule,
        )[0]

    def identify_many(
        self,
        sources: Sequence[Source],
        *,
        threshold: float | None = None,
        limit: int = 5,
        prior: float = PRIOR,
        min_margin: float | None = None,
        gallery_size_rule: bool | None = None,
    ) -> list[Identification]:
        """`identify` for each source, with the gallery searched once: an answer for each, or an error for one."""
        gallery = self._opened_gallery()
        point = self._point(threshold)
        check_prior(prior)
        check_margin(min_margin)
        check_limit(limit)
        if not sources:
            return []
        waveforms, qualities = self._heard(sources)
        answers = identified(
            self._embedder(waveforms, names=_names(sources)),
            gallery,
            point,
            prior=prior,
            limit=limit,
            min_margin=min_margin,
            gallery_size_rule=gallery_size_rule,
        )
        return [replace(answer, quality=quality) for answer, quality in zip(answers, qualities, strict=True)]

    def enrol(
        self,
        user: str,
        *sources: Source,
        details: UserDetails | None = None,
        strict: bool = False,
        by: str | None = None,
    ) -> Enrolment:
        """Add recordings to a user, new or known: all of them, or none if one cannot be used.

        `details` are merged into those there were; `by` says who does it, for the gallery's audit log. Where the model
        has an operating point the recordings are compared with each other, with those kept and with the other users,
        and each is searched for a second voice: doubts about who speaks become warnings, and with `strict`
        DoubtfulEnrolment is raised before anything is kept.
        """
        gallery = self._opened_gallery()
        if not sources:
            raise ConfigError(f"enrolling {shown(user)} needs at least one recording")
        point = self._point(None) if strict else self._operating_point
        waveforms, qualities = self._heard(sources, enrolling=True)
        rows = self._embedder(waveforms, names=_names(sources))
        warnings = warnings_of(user, rows, waveforms, qualities, self._embedder, gallery, point, strict=strict)
        files = files_to_keep(gallery, waveforms, self._embedder.sample_rate)
        kept = gallery.enrol(user, rows, details=details, recordings=files, by=by)
        return Enrolment(user, num_recordings_added=len(sources), num_recordings=kept, warnings=warnings)

    def update(self, user: str, details: UserDetails, *, by: str | None = None) -> None:
        """Replace a user's details; raises UnknownUser."""
        if not self._opened_gallery().update(user, details, by=by):
            raise unknown_user(user)

    def enrolled(self, user: str) -> Enrolled | None:
        """What is kept of a user besides embeddings; None if there is nobody of that name."""
        return self._opened_gallery().enrolled(user)

    def remove(self, user: str, *, by: str | None = None) -> None:
        """Delete a user and all embeddings, at once or after the gallery's grace time; raises UnknownUser."""
        if not self._opened_gallery().remove(user, by=by):
            raise unknown_user(user)

    def restore(self, user: str, *, by: str | None = None) -> None:
        """Undo `remove` within the gallery's grace time; raises UnknownUser where there is nothing to undo."""
        if not self._opened_gallery().restore(user, by=by):
            raise UnknownUser(
                f"{shown(user)} cannot be restored: nobody of that name was removed within the grace time"
            )

    def users(self) -> dict[str, int]:
        """Every enrolled user with the number of recordings kept."""
        return self._opened_gallery().users()

    def embed(self, source: Source) -> FloatArray:
        """One recording -> (E,), a unit vector in float32."""
        row: FloatArray = self._embedder(self._heard([source])[0], names=_names([source]))[0]
        return row

    def close(self) -> None:
        """Close the gallery."""
        if self._gallery is not None:
            self._gallery.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _heard(self, sources: Sequence[Source], *, enrolling: bool = False) -> tuple[list[FloatArray], list[Quality]]:
        waveforms, qualities = [], []
        rate = self._embedder.sample_rate
        for source, name in zip(sources, _names(sources), strict=True):
            waveform = audio.load(source, rate, allow_urls=self._allow_urls)
            qualities.append(check_recording(waveform, rate, name=name, limits=self._limits))
            waveforms.append(waveform)
        limits = self._limits or QualityLimits()
        if limits.second_voice != "ignore":
            threshold, names = self._point(None).threshold, _names(sources)
            qualities = judged_voices(
                waveforms, qualities, names, self._embedder, threshold, limits, enrolling=enrolling
            )
        return waveforms, qualities

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


def _names(sources: Sequence[Source]) -> list[str]:
    """What messages call them."""
    return [
        audio.shown(source) if isinstance(source, str | os.PathLike) else f"recording {number} of {len(sources)}"
        for number, source in enumerate(sources, start=1)
    ]
