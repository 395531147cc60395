"""Folders of one speaker each -> a data list, or two that share no speaker.

    python scripts/speaker_folders.py corpus-a corpus-b/train --output train.tsv
    python scripts/speaker_folders.py my-voices --output train.tsv --test-output test.tsv --check
    python scripts/speaker_folders.py many-mp3 --output train.tsv --convert flac

Every recording's parent folder is its speaker. The label is `<corpus>/<speaker>`, so that speaker 12 of one corpus is
not speaker 12 of another; paths in the list are relative to the list where possible. Recordings are never changed,
moved or deleted: --convert writes copies beside them, which training reads faster than mp3.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import track

from speaker_id.audio import containers, soundfiles
from speaker_id.data.doctor import convert, examine
from speaker_id.data.lists import DataList, Utterance, hold_out_speakers, write_list
from speaker_id.errors import DataError, SpeakerIdError

THREADS = os.cpu_count() or 1
SAMPLE_RATE = 16000  # Hz, of copies: what every feature here is made for
T = TypeVar("T")


class Recording(NamedTuple):
    path: Path
    label: str
    place: Path  # within all corpora: a/12/x.wav


def found_in(corpus: Path) -> list[Recording]:
    """The recordings of one corpus in the order of their paths."""
    files = sorted(path for path in corpus.rglob("*") if path.is_file())
    suffixes = soundfiles.SUFFIXES | (containers.SUFFIXES if containers.available() else set())
    if passed_over := [path for path in files if path.suffix.lower() in containers.SUFFIXES - suffixes]:
        say(f"note: {corpus}: {len(passed_over)} files are not listed, as reading them needs pip install "
            f"'speaker-id[formats]', like {passed_over[0]}")  # fmt: skip
    recordings = [path for path in files if path.suffix.lower() in suffixes]
    if not recordings:
        raise DataError(f"{corpus}: no recording below it ({', '.join(sorted(suffixes))})")
    if stray := [path for path in recordings if path.parent == corpus]:
        raise DataError(f"{stray[0]}: lies beside the speakers' folders; put it into the folder of its speaker")
    name = Path(corpus.resolve().name)
    return [Recording(path, f"{name}/{path.parent.name}", name / path.relative_to(corpus)) for path in recordings]


def usable(recordings: list[Recording], min_seconds: float) -> list[Recording]:
    """Those that can be used; each of the others is named with the reason."""
    findings = examine([recording.path for recording in recordings], min_seconds=min_seconds, num_threads=THREADS)
    bad = {path: trouble for path, trouble in watched(findings, "listening", len(recordings)) if trouble}
    for path, trouble in bad.items():
        say(f"left out: {path}: {trouble}")
    if len(bad) == len(recordings):
        raise DataError("none of the recordings can be used")
    return [recording for recording in recordings if recording.path not in bad]


def converted(recordings: list[Recording], folder: Path) -> list[Recording]:
    """Copies of them in a folder."""
    targets = {path: folder / f"{place}.flac" for path, _, place in recordings}
    done = watched(convert(targets, sample_rate=SAMPLE_RATE, num_threads=THREADS), "converting", len(recordings))
    return [recording._replace(path=path) for recording, path in zip(recordings, done, strict=True)]


def watched(work: Iterable[T], words: str, total: int) -> Iterable[T]:
    """With a bar that tells how long it will take."""
    return track(work, words, total=total, console=Console(stderr=True))


def rows(data: DataList, output: Path) -> list[tuple[str, str]]:
    """What stands in the list at `output`: paths relative to it."""
    folder = output.resolve().parent
    listed = []
    for path, label, _ in data.utterances:
        name = os.path.relpath(Path(path).resolve(), folder)
        if any(sign in name + label for sign in "\t\n\r"):
            raise DataError(f"{path!r}: a list cannot hold a tab or a line break; rename the file or folder")
        listed.append((f"./{name}" if name.startswith("#") else name, label))  # a line with # in front is a comment
    return listed


def write(output: Path, data: DataList) -> None:
    write_list(output, rows(data, output))
    say(f"{output}: {len(data.utterances)} recordings of {len(data.speakers)} speakers")


def say(text: str) -> None:
    print(text, file=sys.stderr)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="the data list to write")
    parser.add_argument("--test-output", type=Path, help="a second list, of speakers who are not in the first")
    parser.add_argument("--test-fraction", type=float, default=0.2, help="of the speakers, for it")
    parser.add_argument("--seed", type=int, default=1000, help="which speakers these are")
    parser.add_argument("--check", action="store_true", help="listen to every recording, and leave out what is broken")
    parser.add_argument("--convert", type=Path, metavar="FOLDER", help="list 16 kHz FLAC copies, which it puts there")
    parser.add_argument("--min-seconds", type=float, default=0.5, help="shorter ones are left out by --check")
    return parser.parse_args()


def main() -> None:
    wanted = options()
    recordings = [recording for corpus in wanted.corpora for recording in found_in(corpus)]
    if wanted.check:
        recordings = usable(recordings, wanted.min_seconds)
    if wanted.convert is not None:
        recordings = converted(recordings, wanted.convert)
    source = ", ".join(map(str, wanted.corpora))
    data = DataList(source, tuple(Utterance(str(path), label, str(path)) for path, label, _ in recordings))
    if wanted.test_output is None:
        write(wanted.output, data)
        return
    train, test = hold_out_speakers(data, fraction=wanted.test_fraction, seed=wanted.seed)
    write(wanted.output, train)
    write(wanted.test_output, test)


if __name__ == "__main__":
    try:
        main()
    except SpeakerIdError as error:
        sys.exit(f"error: {error}")
