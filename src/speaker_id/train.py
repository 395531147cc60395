"""Train a model: `python -m speaker_id.train model=ecapa data.train_list=train.tsv`, or `-m` for a sweep."""

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import rich
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from rich.table import Table

from speaker_id import build, checkpoint
from speaker_id.commandline import reported, run_command
from speaker_id.contracts import ComparesUtterances
from speaker_id.errors import CheckpointError, ConfigError, TrainingError
from speaker_id.loss.groups import GROUPED_BATCHES
from speaker_id.pretrained.catalogue import model_path
from speaker_id.report.words import part_in_words
from speaker_id.training.allocator import keep_memory
from speaker_id.training.datamodule import SpeakerDataModule
from speaker_id.training.module import SpeakerModule
from speaker_id.training.saving import AtomicCheckpointIO
from speaker_id.training.seen import seen_data

logger = logging.getLogger(__name__)

# Lightning's remarks on what is meant as it is; every other warning is shown.
KNOWN_REMARKS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # its own use of torch
    r"The number of training batches \(\d+\) is smaller than the logging interval",  # our log lines do not need it
    r"The '\w+_dataloader' does not have many workers",  # data.num_workers is the user's choice
    r"It is recommended to use `self\.log\('val/\w+', \.\.\., sync_dist=True\)`",  # every rank has the same value
    r"Found \d+ module\(s\) in eval mode at the start of training",  # a frozen encoder is meant to stay in it
    r"You requested to overfit but enabled train dataloader shuffling",  # debug=overfit: it is what it is for
    r"The dirpath has changed from",  # a resumed run has a folder of its own
    r"Checkpoint directory .* exists and is not empty",  # a run resumed in place
)


def train(config: DictConfig) -> float:
    """One run: builds everything the config names, fits, and returns the best validation EER."""
    if config.seed < 0:
        raise ConfigError(f"seed={config.seed}: give a whole number from 0 on")
    pl.seed_everything(config.seed, workers=True, verbose=False)
    trainer = make_trainer(config)
    if starts_ranks(trainer) and HydraConfig.get().mode is RunMode.MULTIRUN:
        return train_in_own_process()
    datamodule = make_datamodule(config)
    module = make_module(config, datamodule)
    check_batches(datamodule, module)
    if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]  # this rank writes checkpoints
        module.seen = seen_data(datamodule, pretrained=weights_of(config))
    ckpt_path = None if config.ckpt_path is None else checked_checkpoint(config.ckpt_path, module)
    log_start(trainer, datamodule, module)
    if trainer.is_global_zero:
        log_augmentation(config.augmentation)
        OmegaConf.save(config, Path(HydraConfig.get().runtime.output_dir) / "config.yaml", resolve=True)
    try:
        trainer.fit(module, datamodule, ckpt_path=ckpt_path, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt(how_to_go_on(trainer, ckpt_path)) from None
    return finish(trainer)


def make_trainer(config: DictConfig) -> pl.Trainer:
    callbacks = [build.instantiate(node) for node in config.callbacks.values() if node is not None]
    loggers = [build.instantiate(node) for node in config.logger.values() if node is not None]
    trainer: pl.Trainer = build.instantiate(
        config.trainer,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=HydraConfig.get().runtime.output_dir,
    )
    return trainer


def make_datamodule(config: DictConfig) -> SpeakerDataModule:
    augmentation = config.augmentation
    options = build.plain(config.data)
    build.check_call(SpeakerDataModule, options, where="data")
    return SpeakerDataModule(
        feature=build.feature(config.feature),
        waveform_augmentation=build.instantiate(augmentation.waveform),
        feature_augmentation=None if augmentation.feature is None else build.instantiate(augmentation.feature),
        seed=config.seed,
        vad=build.speech_detector(config.vad),
        **options,
    )


def make_module(config: DictConfig, datamodule: SpeakerDataModule) -> SpeakerModule:
    feature = datamodule.feature if checkpoint.has_weights(datamodule.feature) else None
    model = build.embedding_model(config.model, config.pooling, int(datamodule.feature.out_dim))  # type: ignore[arg-type]
    if (weights := weights_of(config)) is not None:
        strict = config.pretrained_strict
        report_unloaded(checkpoint.load_weights(model, weights, strict=strict, feature=feature))
    return SpeakerModule(
        embedding_model=model,
        loss=build.instantiate(config.loss, model.out_dim, datamodule.num_speakers),
        optimizer=build.instantiate(config.optimizer),
        scheduler=build.instantiate(config.scheduler),
        config={group: build.plain(config[group]) for group in checkpoint.GROUPS if config[group]},
        speakers=datamodule.speakers,
        feature=feature,
        feature_augmentation=datamodule.feature_augmentation,
    )


def weights_of(config: DictConfig) -> Path | None:
    """What the run starts from: a run, a checkpoint, a bundle, or a published model by its name."""
    return None if config.pretrained is None else model_path(config.pretrained)


def check_batches(datamodule: SpeakerDataModule, module: SpeakerModule) -> None:
    """Raise ConfigError, naming the override that helps, for batches in which the loss has nothing to compare."""
    if not isinstance(module.loss, ComparesUtterances):
        return
    loss, group = HydraConfig.get().runtime.choices["loss"], datamodule.utterances_per_speaker
    if datamodule.sampling != "balanced" or group < module.loss.utterances_per_speaker:
        raise ConfigError(f"loss={loss} needs batches of several utterances a speaker: add {GROUPED_BATCHES}")
    if datamodule.batch_size < 2 * group:
        raise ConfigError(
            f"loss={loss} compares speakers, and data.batch_size={datamodule.batch_size} holds one at "
            f"data.utterances_per_speaker={group}: take data.batch_size={2 * group} or more"
        )


def checked_checkpoint(path: str, module: SpeakerModule) -> Path:
    """The checkpoint to resume from, a file or a run folder's last; raises CheckpointError unless it is of this run."""
    last = Path(path) / "checkpoints" / "last.ckpt"
    file = last if last.is_file() else Path(path)
    if file.is_dir():
        raise CheckpointError(f"ckpt_path={path}: no checkpoints/last.ckpt in it; give a run folder or a .ckpt file")
    saved = checkpoint.load(file)
    for group in checkpoint.GROUPS:
        before = saved.config.get(group)
        if before != module.config.get(group):
            raise CheckpointError(
                f"ckpt_path={path}: trained with another {group} ({before or 'none'}); resume with the same, "
                "or start a new run from its weights with pretrained="
            )
    if saved.speakers != module.speakers:
        raise CheckpointError(
            f"ckpt_path={path}: trained on other speakers ({len(saved.speakers)}, here {len(module.speakers)}); resume "
            "with the same data.train_list, or start a new run from its weights with pretrained="
        )
    return file


def report_unloaded(reasons: dict[str, str]) -> None:
    """The table a partial load owes: every weight that was not taken, and why."""
    if not reasons:
        logger.info("every weight was loaded")
        return
    table = Table(title=f"{len(reasons)} weights not loaded", title_justify="left")
    table.add_column("weight", overflow="fold")
    table.add_column("why", overflow="fold")
    for name, reason in reasons.items():
        table.add_row(name, reason)
    rich.get_console().print(table)


def log_start(trainer: pl.Trainer, datamodule: SpeakerDataModule, module: SpeakerModule) -> None:
    if not trainer.is_global_zero:
        return
    parameters = sum(parameter.numel() for parameter in module.embedding_model.parameters())
    logger.info("embedding model: %.2f M parameters", parameters / 1e6)
    if module.feature is not None:
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.feature.parameters()]
        learning = sum(size for size, learns in sizes if learns)
        logger.info("feature: %.2f M parameters, %d of them learn", sum(size for size, _ in sizes) / 1e6, learning)
    logger.info(
        "training: %d utterances of %d speakers, %d classes; validation: %d utterances of %d speakers",
        len(datamodule.train_set), len(datamodule.speakers), datamodule.num_speakers,
        len(datamodule.val_set), len(set(datamodule.val_set.labels)),
    )  # fmt: skip


def log_augmentation(augmentation: DictConfig) -> None:
    parts = build.plain(augmentation)
    for step in (*augmentations_of(parts["waveform"]), *augmentations_of(parts["feature"])):
        logger.info("augmentation: %s", part_in_words(step))


def augmentations_of(node: Any) -> Iterator[dict[str, Any]]:
    """Those that are on, within a chain or alone."""
    if isinstance(node, dict) and node.get("prob", 1) > 0:
        steps = [step for step in node.values() if isinstance(step, dict) and "_target_" in step]
        if steps:
            yield from (found for step in steps for found in augmentations_of(step))
        elif "prob" in node:
            yield node


def how_to_go_on(trainer: pl.Trainer, resumed_from: Path | None) -> str:
    written = [c.last_model_path for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    last = next(filter(None, written), resumed_from)
    hint = "no checkpoint was written yet" if last is None else f"go on with ckpt_path={last}"
    return f"interrupted in epoch {trainer.current_epoch + 1}; {hint}"


def finish(trainer: pl.Trainer) -> float:
    """Write metrics.json beside the checkpoints; the objective of sweeps is the best validation EER."""
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    objective = float(best) if best is not None else values.get("val/eer", float("nan"))
    if trainer.is_global_zero:
        folder = Path(HydraConfig.get().runtime.output_dir)
        content = json.dumps({"best_val_eer": objective, **values}, indent=2)
        (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")
        logger.info("best validation EER %.2f %%; everything lies in %s", 100 * objective, folder)
    return objective


def starts_ranks(trainer: pl.Trainer) -> bool:
    """Whether Lightning would start this command again for every further rank on this machine."""
    launcher = trainer.strategy.launcher
    return trainer.num_devices > 1 and launcher is not None and "LOCAL_RANK" not in os.environ


def train_in_own_process() -> float:
    """A sweep's job as a command of its own.

    Lightning starts further ranks by repeating the command line; from within a sweep each of them would run the
    whole sweep again, and the ranks of one job would train different configs.
    """
    run = HydraConfig.get()
    folder = run.runtime.output_dir
    command = [sys.executable, "-m", "speaker_id.train", *run.overrides.task, f'hydra.run.dir="{folder}"']
    status = subprocess.run(command, check=False, cwd=run.runtime.cwd).returncode
    if status != 0:
        raise TrainingError(
            f"the job {' '.join(run.overrides.task)} ended with exit status {status}; its log: {folder}"
        )
    content: dict[str, Any] = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return float(content["best_val_eer"])


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="train")
@reported
def run(config: DictConfig) -> float:
    return train(config)


def main() -> None:
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # hints and device tables
    for remark in KNOWN_REMARKS:
        warnings.filterwarnings("ignore", message=remark)
    keep_memory()
    run_command(run, config_name="train")


if __name__ == "__main__":
    main()
