"""A real training in small: synthetic voices, a seed, and bounds that only a model that learns stays under."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands.running import Corpus, metrics_of, run_here, tiny
from inference.tiny_model import RATE
from speaker_id.contracts import FloatArray

NUM_TRAINING, NUM_VALIDATION, NUM_RECORDINGS = 24, 8, 6
NUM_HARMONICS = 20


def speak(pitch: float, timbre: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One recording (S,) of a voice: its harmonics keep their weights, pitch and level wander, noise 20 dB below."""
    time = np.arange(RATE) / RATE
    sway = 0.02 * np.sin(2 * np.pi * rng.uniform(2, 4) * time + rng.uniform(0, 6))
    phase = 2 * np.pi * pitch * rng.uniform(0.95, 1.05) * (time + sway)
    level = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(3, 5) * time + rng.uniform(0, 6))
    tone = level * sum(weight * np.sin(k * phase) for k, weight in enumerate(timbre, start=1))
    sound = tone / tone.std() + 10 ** (-20 / 20) * rng.standard_normal(RATE)
    return (0.05 * sound).astype(np.float32)


@pytest.fixture
def voices(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    rows: list[str] = []
    for speaker in range(NUM_TRAINING + NUM_VALIDATION):
        pitch, timbre = rng.uniform(90, 250), rng.lognormal(sigma=1.0, size=NUM_HARMONICS).astype(np.float32)
        for number in range(NUM_RECORDINGS):
            soundfile.write(tmp_path / f"{speaker}-{number}.wav", speak(pitch, timbre, rng), RATE)
            rows.append(f"{speaker}-{number}.wav\t{speaker}\n")
    cut = NUM_TRAINING * NUM_RECORDINGS
    (tmp_path / "train.tsv").write_text("".join(rows[:cut]))
    (tmp_path / "val.tsv").write_text("".join(rows[cut:]))
    return Corpus(tmp_path, tmp_path / "train.tsv", tmp_path / "val.tsv")


@pytest.mark.slow
def test_a_small_training_learns_its_speakers_and_tells_others_apart(voices: Corpus, tmp_path: Path) -> None:
    wider = ["model.backbone.channels=32", "model.backbone.out_channels=64", "model.projection.dim=32"]
    settings = ["trainer.max_epochs=10", "data.batch_size=16", "optimizer.lr=3e-3", "logger=none"]
    arguments = [*voices.lists, *tiny(), *wider, *settings, f"hydra.run.dir={tmp_path}/run"]
    finished = run_here("train", *arguments)
    assert finished.status == 0, finished.out
    found = metrics_of(tmp_path / "run")
    assert found["train/loss"] < 0.1, finished.out  # 0.005; guessing costs more than 3
    assert found["val/eer"] < 0.12, finished.out  # 0.05; the untrained model is at 0.2
