"""A real but very small model, untrained: what every test of `inference` and the command line runs on."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from speaker_id import build, checkpoint
from speaker_id.contracts import FloatArray, OperatingPoint

RATE = 16_000
FEATURE = {"_target_": "speaker_id.feature.fbank.Fbank", "sample_rate": RATE, "n_mels": 24}
BACKBONE = {
    "_target_": "speaker_id.model.ecapa.Ecapa",
    "channels": 16,
    "out_channels": 24,
    "kernel_sizes": [5, 3, 3],
    "dilations": [1, 2, 3],
    "scale": 4,
    "se_bottleneck": 8,
}
PROJECTION = {"_target_": "speaker_id.model.embedding.Projection", "dim": 12, "input_norm": True}
POOLING = {
    "_target_": "speaker_id.pooling.AttentiveStatisticsPooling",
    "bottleneck": 8,
    "global_context": True,
}
POINT = OperatingPoint(0.9, "chosen for the tests")


def tiny_model(*, seed: int = 0, operating_point: OperatingPoint | None = POINT) -> checkpoint.LoadedModel:
    config = {"feature": FEATURE, "model": {"backbone": BACKBONE, "projection": PROJECTION}, "pooling": POOLING}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        feature = build.feature(config["feature"])
        model = build.embedding_model(config["model"], config["pooling"], FEATURE["n_mels"])
    return checkpoint.LoadedModel(feature, model.eval(), operating_point, config, ["a", "b"], f"{seed:064x}")


def tiny_bundle(folder: Path, *, seed: int = 0, operating_point: OperatingPoint | None = POINT) -> Path:
    return checkpoint.save_bundle(tiny_model(seed=seed, operating_point=operating_point), folder)


def voice(pitch: float, seconds: float = 1.0) -> FloatArray:
    """A moving harmonic tone, (S,): a constant one would vanish under mean normalisation."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch * (time + 0.02 * np.sin(2 * np.pi * 3 * time))
    tone = sum(np.sin(k * phase) / k for k in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    return (0.2 * tone).astype(np.float32)


def recording(path: Path, pitch: float, seconds: float = 1.0) -> Path:
    soundfile.write(path, voice(pitch, seconds), RATE, subtype="FLOAT")
    return path
