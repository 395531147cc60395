"""Speakers of a training list held out to choose a recipe by, so that no evaluation speaker is looked at for it.

    python benchmarks/hold_out.py train.tsv --output FOLDER

Writes train.tsv (the other speakers), read.tsv (30 speakers with several utterances) and books.tsv (25 speakers with
one long recording, which is cut into four: pairs within one recording, all the same an unseen voice and channel).
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from speaker_id.data.lists import read_list

READ, BOOKS, PARTS, LONGEST = 30, 25, 4, 3.5  # speakers, speakers, parts of a recording, seconds of a part
SEED = 7


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    path.write_text(
        "".join(f"{Path(recording).resolve()}\t{speaker}\n" for recording, speaker in rows), encoding="utf-8"
    )


def cut(recording: str, speaker: str, folder: Path) -> list[tuple[str, str]]:
    """The four parts as files in `folder`."""
    waveform, sample_rate = soundfile.read(recording)
    length = min(len(waveform) // PARTS, int(LONGEST * sample_rate))
    paths = [folder / f"{speaker}_{part}.flac" for part in range(PARTS)]
    for part, path in enumerate(paths):
        soundfile.write(path, waveform[part * length : (part + 1) * length], sample_rate)
    return [(str(path), speaker) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train_list")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    recordings = defaultdict(list)
    for utterance in read_list(given.train_list, root=None).utterances:
        recordings[utterance.label].append(str(utterance.path))
    rng = np.random.default_rng(SEED)
    several = sorted(speaker for speaker, paths in recordings.items() if len(paths) > 1)
    single = sorted(speaker for speaker, paths in recordings.items() if len(paths) == 1)
    read = set(rng.choice(several, READ, replace=False).tolist())
    books = set(rng.choice(single, BOOKS, replace=False).tolist())
    parts = given.output / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    rows = [(path, speaker) for speaker, paths in recordings.items() for path in paths]
    write(given.output / "train.tsv", [row for row in rows if row[1] not in read | books])
    write(given.output / "read.tsv", [row for row in rows if row[1] in read])
    write(
        given.output / "books.tsv",
        [row for speaker in sorted(books) for row in cut(*recordings[speaker], speaker, parts)],
    )


if __name__ == "__main__":
    main()
