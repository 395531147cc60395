"""Train a model: `python -m speaker_id.train model=ecapa data.train_list=train.tsv`, or `-m` for a sweep."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytorch_lightning as pl
import rich
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.table import Table

from speaker_id import build, checkpoint
from speaker_id.commandline import reported, run_command
from speaker_id.training.allocator import keep_memory
from speaker_id.training.datamodule import SpeakerDataModule
from speaker_id.training.module import SpeakerModule
from speaker_id.training.saving import AtomicCheckpointIO

logger = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """One run: builds everything the config names, fits, and returns the best validation EER."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    trainer = make_trainer(config)
    if starts_ranks(trainer) and HydraConfig.get().mode is RunMode.MULTIRUN:
        return train_in_own_process()
    datamodule = make_datamodule(config)
    module = make_module(config, datamodule)
    log_start(trainer, datamodule, module)
    trainer.fit(module, datamodule, ckpt_path=config.ckpt_path, weights_only=True)
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
        **options,
    )


def make_module(config: DictConfig, datamodule: SpeakerDataModule) -> SpeakerModule:
    model = build.embedding_model(config.model, config.pooling, int(datamodule.feature.out_dim))  # type: ignore[arg-type]
    if config.pretrained is not None:
        report_unloaded(checkpoint.load_weights(model, config.pretrained, strict=config.pretrained_strict))
    return SpeakerModule(
        embedding_model=model,
        loss=build.instantiate(config.loss, model.out_dim, datamodule.num_speakers),
        optimizer=build.instantiate(config.optimizer),
        scheduler=build.instantiate(config.scheduler),
        config={group: build.plain(config[group]) for group in ("feature", "model", "pooling")},
        speakers=datamodule.speakers,
    )


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
    logger.info(
        "training: %d utterances of %d speakers, %d classes; validation: %d utterances of %d speakers",
        len(datamodule.train_set), len(datamodule.speakers), datamodule.num_speakers,
        len(datamodule.val_set), len(set(datamodule.val_set.labels)),
    )  # fmt: skip


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
    subprocess.run(command, check=True, cwd=run.runtime.cwd)
    content: dict[str, Any] = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return float(content["best_val_eer"])


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="train")
@reported
def run(config: DictConfig) -> float:
    return train(config)


def main() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its hints and device tables
    keep_memory()
    run_command(run, config_name="train")


if __name__ == "__main__":
    main()
