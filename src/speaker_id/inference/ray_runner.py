"""Extraction on a Ray cluster (https://www.ray.io): actors embed the same parts, and hand back what is kept of them."""

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from speaker_id import checkpoint
from speaker_id.data.lists import DataList
from speaker_id.errors import CheckpointError, ConfigError, DataError, SpeakerIdError
from speaker_id.inference.embedder import usable_device
from speaker_id.inference.extraction import embed_parts, gather
from speaker_id.inference.parts import to_bytes
from speaker_id.inference.recordings import Recordings


class Task(NamedTuple):
    """All that an actor needs; paths of checkpoint and recordings must be those of its machine too."""

    checkpoint: str
    fingerprint: str
    data: DataList
    min_seconds: float
    max_seconds: float
    skip_failures: bool
    batch_seconds: float
    normalise: bool
    device: str


class PartEmbedder:
    """An actor: {"first", "num"} of one part -> its content, or the message of an error of ours."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.loaded: checkpoint.LoadedModel | None = None

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        first, num = int(batch["first"][0]), int(batch["num"][0])
        content, error = b"", ""
        try:
            content = self.embed(range(first, first + num))
        except SpeakerIdError as failure:  # Ray would bury the message in the traceback of a worker
            error = str(failure)
        return {"first": batch["first"], "content": np.array([content], object), "error": np.array([error], object)}

    def embed(self, part: range) -> bytes:
        task = self.task
        if self.loaded is None:
            self.loaded = checkpoint.load(task.checkpoint)
        if self.loaded.fingerprint != task.fingerprint:
            raise CheckpointError(f"{task.checkpoint} is another model on a worker: use a path that all machines share")
        recordings = Recordings(
            task.data,
            sample_rate=cast(int, self.loaded.feature.sample_rate),
            min_seconds=task.min_seconds,
            max_seconds=task.max_seconds,
            skip_failures=task.skip_failures,
            vad=self.loaded.vad,
        )
        batches = embed_parts(
            self.loaded,
            recordings,
            [part],
            device=usable_device(task.device),
            batch_seconds=task.batch_seconds,
            num_workers=0,
            normalise=task.normalise,
        )
        return to_bytes(next(gather(batches, [part])))


def check_library() -> None:
    """Raise ConfigError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError("runner=ray needs Ray: pip install 'speaker-id[ray]', or take runner=local")


def embed_with_ray(task: Task, parts: Sequence[range], *, num_actors: int) -> Iterator[tuple[range, bytes]]:
    """Yield parts and their content as they are done, in any order.

    Uses the cluster that RAY_ADDRESS names or this process has joined, or else starts one on this machine. Each of up
    to `num_actors` actors takes one processor, and one GPU unless the device is the cpu.
    """
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False  # the command has its own
    own = not ray.is_initialized()
    if own:
        _join_or_start(ray)
    try:
        on_gpus = task.device.startswith("cuda") or (
            task.device == "auto" and ray.cluster_resources().get("GPU", 0) > 0
        )
        by_first = {part.start: part for part in parts}
        items = [{"first": part.start, "num": len(part)} for part in parts]
        # A block an item, made here: tasks that made them would wait for processors that the actors hold.
        results = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            PartEmbedder,
            fn_constructor_args=(task,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=num_actors),
            num_cpus=1,
            num_gpus=1 if on_gpus else None,
        )
        for row in results.iter_rows():
            if row["error"]:
                raise DataError(row["error"])
            yield by_first[row["first"]], row["content"]
    finally:
        if own:
            ray.shutdown()


def _join_or_start(ray: Any) -> None:
    try:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="warning")
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster answers at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: {error}") from error
