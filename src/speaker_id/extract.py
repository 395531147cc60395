"""Embed a list of recordings: `python -m speaker_id.extract checkpoint=RUN data.list=list.tsv output=FOLDER`.

Under torchrun or srun every process embeds its part of the list; a second start with the same output goes on.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import hydra
import rich
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from speaker_id import build, checkpoint
from speaker_id.commandline import reported, run_command
from speaker_id.data.lists import DataList, read_list
from speaker_id.errors import ConfigError, DataError, SpeakerIdError
from speaker_id.inference import embedding_files, ray_runner
from speaker_id.inference.embedder import usable_device
from speaker_id.inference.extraction import EmbeddedBatch, embed_parts, gather
from speaker_id.inference.parts import ExtractionFolder, Job, digest, to_bytes
from speaker_id.inference.ranks import Rank, further_ranks, rank_of
from speaker_id.inference.recordings import Recordings
from speaker_id.pretrained.catalogue import model_path

logger = logging.getLogger(__name__)

CHOICES = {"format": tuple(embedding_files.FILES), "on_error": ("stop", "skip"), "runner": ("local", "ray")}


class Extraction(NamedTuple):
    """What every process of an extraction knows."""

    config: DictConfig
    data: DataList
    loaded: checkpoint.LoadedModel
    folder: ExtractionFolder


def extract(config: DictConfig) -> None:
    """Embed what is missing in the output folder, and join the parts when all are there."""
    rank = rank_of(os.environ)
    check_options(config, rank)
    if rank.number > 0:
        logging.getLogger().setLevel(logging.WARNING)  # the first one speaks for all
    data = read_list(config.data.list, root=config.data.root, labelled=False, existing=config.on_error == "stop")
    loaded = checkpoint.load(model_path(config.checkpoint))
    work = Extraction(config, data, loaded, open_folder(config, data, loaded))
    with kept(work.folder):
        if config.runner == "ray":
            extract_with_ray(work)
        elif config.num_processes > 1:
            extract_in_processes(work)
        else:
            extract_share(work, rank)
        finish(work)


def check_options(config: DictConfig, rank: Rank) -> None:
    """Raise ConfigError for a choice that does not exist, or options that do not go together."""
    for key, known in CHOICES.items():
        if config[key] not in known:
            raise ConfigError(f"{key}={config[key]} does not exist; {build.nearest(str(config[key]), list(known))}")
    for key in ("part_rows", "num_processes"):
        if not (isinstance(config[key], int) and config[key] >= 1):
            raise ConfigError(f"{key}={config[key]}: give a whole number from 1 on")
    if not config.data.batch_seconds > 0:
        raise ConfigError(f"data.batch_seconds={config.data.batch_seconds}: give some seconds")
    embedding_files.check_library(config.format)
    if config.runner == "ray":
        ray_runner.check_library()
    check_launch(config, rank)


def check_launch(config: DictConfig, rank: Rank) -> None:
    run = HydraConfig.get()
    given = {override.partition("=")[0].lstrip("+") for override in (*run.overrides.task, *run.overrides.hydra)}
    if rank.world > 1 and (config.num_processes > 1 or config.runner == "ray"):
        raise ConfigError(f"{rank.world} processes were launched already: leave num_processes and runner as they are")
    if rank.world > 1 and not {"output", "hydra.run.dir"} & given:
        raise ConfigError(f"{rank.world} processes need one folder for all: give output=FOLDER")
    if run.mode is RunMode.MULTIRUN and "output" in given:
        raise ConfigError("output= is one folder, and -m makes several runs: give hydra.sweep.dir=FOLDER")


def open_folder(config: DictConfig, data: DataList, loaded: checkpoint.LoadedModel) -> ExtractionFolder:
    """The run's folder, for this list, model and options alone."""
    seconds = {f"data.{key}": float(config.data[key]) for key in ("min_seconds", "max_seconds", "batch_seconds")}
    job = Job(
        checkpoint=str(config.checkpoint),
        fingerprint=loaded.fingerprint,
        list=data.source,
        list_digest=digest(data),
        num_recordings=len(data.utterances),
        dim=cast(int, loaded.embedding_model.out_dim),
        options={
            "format": config.format,
            "normalise": bool(config.normalise),
            "part_rows": config.part_rows,
            **seconds,
        },
    )
    return ExtractionFolder(Path(HydraConfig.get().runtime.output_dir), job)


@contextmanager
def kept(folder: ExtractionFolder) -> Iterator[None]:
    """Say how to go on when the work stops before its end."""
    try:
        yield
    except (SpeakerIdError, KeyboardInterrupt):
        if missing := len(folder.missing()):
            done = len(folder.parts) - missing
            logger.info("%d of %d parts are kept; go on with output=%s", done, len(folder.parts), folder.path)
        raise


def extract_share(work: Extraction, rank: Rank, check: Callable[[], None] = lambda: None) -> None:
    """Embed those of the missing parts that are this rank's; `check` is called after every batch."""
    config, folder = work.config, work.folder
    own = rank.share(folder.missing())
    parts = [folder.parts[number] for number in own]
    recordings = Recordings(
        work.data,
        sample_rate=cast(int, work.loaded.feature.sample_rate),
        min_seconds=config.data.min_seconds,
        max_seconds=config.data.max_seconds,
        skip_failures=config.on_error == "skip",
        vad=work.loaded.vad,
    )
    batches = embed_parts(
        work.loaded,
        recordings,
        parts,
        device=usable_device(rank.device(config.device)),
        batch_seconds=config.data.batch_seconds,
        num_workers=config.data.num_workers,
        normalise=config.normalise,
    )
    with progress(sum(map(len, parts)), quiet=rank.number > 0) as advance:
        for number, part in zip(own, gather(watched(batches, advance, check), parts), strict=True):
            folder.put(number, to_bytes(part))


def extract_in_processes(work: Extraction) -> None:
    """All missing parts, by this process and others that it starts."""
    num = work.config.num_processes if work.folder.missing() else 1
    if "OMP_NUM_THREADS" not in os.environ:  # threads beyond the processors wait for each other
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // num))
    command = [sys.executable, "-m", "speaker_id.extract", *HydraConfig.get().overrides.task]
    command += ["num_processes=1", f'hydra.run.dir="{work.folder.path}"']
    with further_ranks(command, num) as check:
        extract_share(work, Rank(0, num), check)


def extract_with_ray(work: Extraction) -> None:
    """All missing parts, by the actors of a Ray cluster."""
    config, folder = work.config, work.folder
    numbers = {folder.parts[number]: number for number in folder.missing()}
    if not numbers:
        return
    task = ray_runner.Task(
        checkpoint=str(model_path(config.checkpoint).resolve()),
        fingerprint=work.loaded.fingerprint,
        data=work.data,
        min_seconds=config.data.min_seconds,
        max_seconds=config.data.max_seconds,
        skip_failures=config.on_error == "skip",
        batch_seconds=config.data.batch_seconds,
        normalise=config.normalise,
        device=config.device,
    )
    with progress(sum(map(len, numbers)), quiet=False) as advance:
        for part, content in ray_runner.embed_with_ray(task, list(numbers), num_actors=config.num_processes):
            folder.put(numbers[part], content)
            advance(len(part))


def watched(
    batches: Iterable[EmbeddedBatch], advance: Callable[[int], None], check: Callable[[], None]
) -> Iterator[EmbeddedBatch]:
    for batch in batches:
        check()
        advance(len(batch.rows) + len(batch.failures))
        yield batch


@contextmanager
def progress(num_rows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=rich.get_console(), disable=quiet or num_rows == 0) as bar:
        task = bar.add_task("embedding", total=num_rows)
        yield lambda num: bar.advance(task, num)


def finish(work: Extraction) -> None:
    """Join the parts, unless other processes still work on some or have joined them; then say what came of it."""
    folder = work.folder
    if folder.missing():
        logger.info("this process has done its part; the one that ends last joins the parts")
        return
    if not folder.complete:
        try:
            form = work.config.format
            folder.finish(embedding_files.write(folder.path, folder, work.data, form=form, dim=folder.job.dim))
        except DataError:
            if not folder.complete:  # else another process was faster, and has removed the parts
                raise
    report(folder)


def report(folder: ExtractionFolder) -> None:
    counts = folder.counts
    if counts.num_skipped:
        logger.warning("%d recordings were skipped: %s", counts.num_skipped, folder.path / "skipped.tsv")
    if not counts.num_embedded:
        raise DataError(f"no recording of {folder.job.list} could be embedded; {folder.path}/skipped.tsv says why")
    table = folder.path / embedding_files.FILES[str(folder.job.options["format"])]
    logger.info("%d embeddings of %d numbers: %s", counts.num_embedded, folder.job.dim, table)


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="extract")
@reported
def run(config: DictConfig) -> None:
    extract(config)


def main() -> None:
    run_command(run, config_name="extract")


if __name__ == "__main__":
    main()
