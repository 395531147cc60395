"""Take exported users into a gallery: each whole or not at all, and nobody unasked on top of somebody there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from speaker_id.contracts import Gallery
from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_export import Export, Exported
from speaker_id.inference.gallery_records import check_details, check_enrolled, check_recordings, utc_now
from speaker_id.inference.names import encode_name


class Outcome(NamedTuple):
    """What became of one user."""

    user: str
    verdict: Literal["imported", "already enrolled", "refused"]
    num_recordings: int = 0  # taken in
    reasons: tuple[str, ...] = ()  # in words: why refused
    warnings: tuple[str, ...] = ()  # in words: doubts about whoever came in


def import_export(
    export: Export, gallery: Gallery | None, *, add: bool, dry_run: bool, by: str | None = None
) -> Iterator[Outcome]:
    """User by user. Those who are enrolled already are left as they are; with `add` they get the recordings too.

    They keep the time of their enrolment, and the files of their recordings where the export has them and the gallery
    keeps such.

    A dry run says the same and writes nothing; it may have None for a gallery that is not there yet. Raises
    GalleryError for the embeddings of another model, and when the gallery cannot be written.
    """
    if gallery is not None and (gallery.fingerprint, gallery.dim) != (export.fingerprint, export.dim):
        raise GalleryError(
            f"the export holds embeddings of model {export.fingerprint[:12]}, the gallery those of model "
            f"{gallery.fingerprint[:12]}: import it into a gallery of its own"
        )
    for exported in export.users:
        yield outside(exported.user, gallery, add) or _kept(exported, gallery, dry_run, by)


def outside(user: str, gallery: Gallery | None, add: bool) -> Outcome | None:
    """Who is not taken in, for the name alone: one that cannot be kept, or that is enrolled already."""
    try:
        encode_name(user)
    except GalleryError as error:
        return Outcome(user, "refused", reasons=(str(error),))
    if not add and gallery is not None and gallery.enrolled(user) is not None:
        return Outcome(user, "already enrolled")
    return None


def _kept(exported: Exported, gallery: Gallery | None, dry_run: bool, by: str | None) -> Outcome:
    user, details, embeddings, enrolled, recordings = exported
    try:
        check_enrolled(enrolled, utc_now())
        check_details(details, utc_now())
        check_recordings(recordings, len(embeddings), keeps_recordings=True)
    except GalleryError as error:  # expired since, most likely
        return Outcome(user, "refused", reasons=(str(error),))
    if gallery is not None and not dry_run:
        known = gallery.enrolled(user) is not None
        details_ = None if known else details  # whoever is known keeps their own
        files = recordings if gallery.keeps_recordings else None
        gallery.enrol(user, embeddings, details=details_, recordings=files, enrolled=enrolled, by=by)
    return Outcome(user, "imported", len(embeddings))
