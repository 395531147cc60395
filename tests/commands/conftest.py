"""One corpus, and one finished run on it, for all command tests of a worker."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands.running import Corpus, run_here, sway, tiny
from inference.tiny_model import RATE

NUM_RECORDINGS = 4
PITCHES = {"ada": 90, "ben": 120, "cho": 155, "dov": 200, "eli": 137, "fay": 146}  # the last two for validation


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Four training speakers and two others, alike enough to be confused; an odd number of validation recordings."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    rows = []
    for speaker, pitch in PITCHES.items():
        for number in range(NUM_RECORDINGS):
            name = f"{speaker}-{number}.{'flac' if number % 2 else 'wav'}"
            soundfile.write(folder / name, sway(pitch * rng.uniform(0.94, 1.06), 1.0 + 0.1 * number, rng), RATE)
            rows.append(f"{name}\t{speaker}\n")
    (folder / "train.tsv").write_text("".join(rows[:16]))
    (folder / "val.tsv").write_text("".join(rows[16:23]))
    (folder / "all.tsv").write_text("".join(rows))
    return Corpus(folder, folder / "train.tsv", folder / "val.tsv")


@pytest.fixture(scope="session")
def two_epochs(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    finished = run_here("train", *corpus.lists, *tiny(), "trainer.max_epochs=2", f"hydra.run.dir={folder}")
    assert finished.status == 0, finished.out
    return folder
