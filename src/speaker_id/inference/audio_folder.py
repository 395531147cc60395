"""A folder of recordings as other programs keep their users: `audio_db/NAME/0.wav, 1.wav, ...` or `audio_db/NAME.wav`.

Names are the folders' and files', taken as data. Only sound is read: an index that lies beside it (a pickle, which
would run whatever code is in it) is neither opened nor needed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from speaker_id import audio
from speaker_id.audio import containers, soundfiles
from speaker_id.contracts import FloatArray, Gallery, Source
from speaker_id.errors import AudioError, GalleryError
from speaker_id.inference.gallery_import import Outcome, outside
from speaker_id.inference.quality import check_recording

if TYPE_CHECKING:  # a look into a folder needs no model
    from speaker_id.inference.recognizer import Recognizer

# Also what is not read without PyAV but is sound all the same: it is reported as unusable, and never passed over.
SOUND = soundfiles.SUFFIXES | containers.SUFFIXES


class AudioFolder(NamedTuple):
    """What was found in it."""

    recordings: dict[str, tuple[Path, ...]]  # by user, in the order of their numbers
    ignored: tuple[Path, ...]  # whatever else lies there, unread


def find_recordings(folder: Path) -> AudioFolder:
    """Look through a folder without opening any file of it. Raises GalleryError if it is none, or holds no sound."""
    recordings, ignored = defaultdict(list), []
    try:
        for path in sorted(folder.iterdir(), key=_by_number):
            inside = sorted(path.iterdir(), key=_by_number) if path.is_dir() else [path]
            for file in inside:
                if file.suffix.lower() in SOUND and file.is_file():
                    recordings[path.name if path.is_dir() else path.stem].append(file)
                else:
                    ignored.append(file)
    except OSError as error:
        raise GalleryError(f"cannot read the folder {folder}: {error.strerror}") from error
    if not recordings:
        raise GalleryError(f"{folder} holds no recordings: it should hold a folder a user, or a wav file a user")
    return AudioFolder({user: tuple(files) for user, files in recordings.items()}, tuple(ignored))


def import_folder(
    recordings: Mapping[str, tuple[Path, ...]],
    recognizer: Recognizer,
    gallery: Gallery | None,
    *,
    sample_rate: int,
    add: bool,
    dry_run: bool,
    by: str | None = None,
) -> Iterator[Outcome]:
    """User by user. Those who are enrolled already are left as they are; with `add` they get the recordings too.

    The recognizer is one with that gallery, and reads at `sample_rate`. One recording that cannot be used keeps its
    user out. A dry run reads, but embeds and writes nothing; its gallery is None where there is none yet. Raises
    GalleryError when the gallery cannot be written.
    """
    for user, files in recordings.items():
        if stays_out := outside(user, gallery, add):
            yield stays_out
            continue
        waveforms, errors = usable([(str(file), file) for file in files], sample_rate)
        if errors:
            yield Outcome(user, "refused", reasons=tuple(map(str, errors)))
            continue
        sources = [(waveform, sample_rate) for waveform in waveforms]
        warnings = () if dry_run else recognizer.enrol(user, *sources, by=by).warnings
        yield Outcome(user, "imported", len(files), warnings=warnings)


def usable(sources: Sequence[tuple[str, Source]], sample_rate: int) -> tuple[list[FloatArray], list[AudioError]]:
    """Read recordings, each with what to call it, as (S,), and say what is wrong with those that cannot be used."""
    waveforms, errors = [], []
    for name, source in sources:
        try:
            waveform = audio.load(source, sample_rate)
            check_recording(waveform, sample_rate, name=name)
        except AudioError as error:
            errors.append(error)
        else:
            waveforms.append(waveform)
    return waveforms, errors


def _by_number(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """2.wav before 10.wav."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], path.name
