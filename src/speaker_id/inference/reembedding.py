"""The users of one gallery in another of another model: from recordings, as embeddings cannot be converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from speaker_id.contracts import Embedder, Enrolled, Gallery, Source
from speaker_id.errors import AudioError, GalleryError
from speaker_id.inference.audio_folder import usable
from speaker_id.inference.gallery_import import Outcome, outside
from speaker_id.inference.gallery_records import check_details, utc_now
from speaker_id.inference.kept_recordings import files_to_keep

Sources = list[tuple[str, Source]]  # what messages call each, and the recording


def reembed(
    old: Gallery,
    new: Gallery,
    embedder: Embedder,
    *,
    folder: Mapping[str, tuple[Path, ...]] | None = None,
    by: str | None = None,
) -> Iterator[Outcome]:
    """User by user, with details and times: each whole or not at all, and whoever is in the new gallery stays as is.

    A user's recordings are those that the old gallery kept, if it kept all of them, or else those of the same name in
    `folder` (`find_recordings`). They are kept again where the new gallery keeps recordings. Nothing is changed in the
    old one. Raises GalleryError when the new one is not of the embedder's model, or no other than the old.
    """
    if new.fingerprint != embedder.fingerprint:
        raise GalleryError("the new gallery is not of the new model: give a gallery file of its own")
    if old.fingerprint == new.fingerprint:
        raise GalleryError(f"both galleries are of model {old.fingerprint[:12]}: there is nothing to embed again")
    for enrolled in filter(None, map(old.enrolled, old.users())):
        yield outside(enrolled.user, new, add=False) or _embedded(enrolled, old, new, embedder, folder or {}, by)


def _embedded(
    enrolled: Enrolled,
    old: Gallery,
    new: Gallery,
    embedder: Embedder,
    folder: Mapping[str, tuple[Path, ...]],
    by: str | None,
) -> Outcome:
    user = enrolled.user
    try:
        check_details(enrolled.details, utc_now())
        sources = _sources(enrolled, old, folder)
    except GalleryError as error:
        return Outcome(user, "refused", reasons=(str(error),))
    waveforms, errors = usable(sources, embedder.sample_rate)
    if errors:
        return Outcome(user, "refused", reasons=tuple(map(str, errors)))
    try:
        rows = embedder(waveforms, names=[name for name, _ in sources])
    except AudioError as error:
        return Outcome(user, "refused", reasons=(str(error),))
    files = files_to_keep(new, waveforms, embedder.sample_rate)
    new.enrol(user, rows, details=enrolled.details, recordings=files, enrolled=enrolled.enrolled, by=by)
    other = len(rows) != enrolled.num_recordings
    warnings = (f"{enrolled.num_recordings} recordings before, {len(rows)} now",) if other else ()
    return Outcome(user, "imported", len(rows), warnings=warnings)


def _sources(enrolled: Enrolled, old: Gallery, folder: Mapping[str, tuple[Path, ...]]) -> Sources:
    user = enrolled.user
    kept = [recording for recording in old.recordings(user) if recording is not None]
    if len(kept) == enrolled.num_recordings:
        return [(f"recording {number} of {len(kept)}", file) for number, file in enumerate(kept, start=1)]
    if user in folder:
        return [(str(path), path) for path in folder[user]]
    held = f"{len(kept)} of {enrolled.num_recordings} recordings were kept" if kept else "no recordings were kept"
    raise GalleryError(f"{held}, and the folder has none of that name" if folder else held)
