"""Folders of one speaker each -> a data list.

    python scripts/speaker_folders.py corpus-a corpus-b/train --output train.tsv

Every recording's parent folder is its speaker. The label is `<corpus>/<speaker>`, so that speaker 12 of one corpus is
not speaker 12 of another; paths in the list are relative to the list where possible.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".au", ".caf", ".w64"}


def rows(corpus: Path, output: Path) -> Iterator[str]:
    """The list's lines for one corpus, sorted by path."""
    found = sorted(path for path in corpus.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"error: {corpus}: no recording below it ({', '.join(sorted(SUFFIXES))})")
    for path in found:
        if path.parent == corpus:
            raise SystemExit(f"error: {path}: lies beside the speakers' folders; put it into the folder of its speaker")
        yield f"{os.path.relpath(path.resolve(), output.resolve().parent)}\t{corpus.name}/{path.parent.name}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="the data list to write")
    arguments = parser.parse_args()
    lines = [line for corpus in arguments.corpora for line in rows(corpus, arguments.output)]
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(arguments.output)
    speakers = {line.split("\t")[1] for line in lines}
    print(f"{arguments.output}: {len(lines)} recordings of {len(speakers)} speakers", file=sys.stderr)


if __name__ == "__main__":
    main()
