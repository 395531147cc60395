"""Batches of equal length against one recording at a time, on short recordings, with one thread and with two.

    python benchmarks/extraction.py [--rounds 3] [--repetitions 2] [--only NAME ...]

What `speaker_id.extract` does with a list of 192 recordings of 1 to 3 s and an untrained ECAPA (512 channels): reading
the files is part of it, by the same process.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from contest import contest

from speaker_id import build, checkpoint
from speaker_id.data.lists import DataList, Utterance
from speaker_id.inference.extraction import embed_parts, gather
from speaker_id.inference.recordings import Recordings

NUM, RATE = 192, 16_000
SHORTEST, LONGEST = 1.0, 3.0  # seconds
TOGETHER = 60.0  # seconds a batch: the command's default


def run(*, threads: int, batch_seconds: float) -> Callable[[int], list[float]]:
    def measure(repetitions: int) -> list[float]:
        torch.set_num_threads(threads)
        loaded = untrained()
        with tempfile.TemporaryDirectory() as folder:
            data = write_recordings(Path(folder))
            recordings = Recordings(data, sample_rate=RATE, min_seconds=0.5, max_seconds=60.0, skip_failures=False)
            return [timed(loaded, recordings, batch_seconds) for _ in range(repetitions + 1)][1:]

    return measure


def timed(loaded: checkpoint.LoadedModel, recordings: Recordings, batch_seconds: float) -> float:
    parts = [range(NUM)]
    start = time.perf_counter()
    device = torch.device("cpu")
    batches = embed_parts(loaded, recordings, parts, device=device, batch_seconds=batch_seconds, num_workers=0)
    (part,) = gather(batches, parts)
    assert len(part.rows) == NUM
    return time.perf_counter() - start


def untrained() -> checkpoint.LoadedModel:
    torch.manual_seed(0)
    config = build.compose("train", ["data.train_list=x", "model=ecapa"])
    groups = {group: build.plain(config[group]) for group in ("feature", "model", "pooling")}
    feature = build.feature(groups["feature"])
    model = build.embedding_model(groups["model"], groups["pooling"], int(feature.out_dim))  # type: ignore[arg-type]
    return checkpoint.LoadedModel(feature, model.eval(), None, groups, [], "")


def write_recordings(folder: Path) -> DataList:
    rng = np.random.default_rng(0)
    rows = []
    for number, seconds in enumerate(rng.uniform(SHORTEST, LONGEST, NUM)):
        path = folder / f"{number}.wav"
        soundfile.write(path, 0.1 * rng.standard_normal(round(seconds * RATE)), RATE)
        rows.append(Utterance(str(path), "", path.name))
    return DataList("benchmark", tuple(rows))


if __name__ == "__main__":
    contest(
        __file__,
        {
            "one by one, 1 thread": run(threads=1, batch_seconds=0.1),
            "equal length, 1 thread": run(threads=1, batch_seconds=TOGETHER),
            "one by one, 2 threads": run(threads=2, batch_seconds=0.1),
            "equal length, 2 threads": run(threads=2, batch_seconds=TOGETHER),
        },
        unit="recordings",
        per_run=NUM,
    )
