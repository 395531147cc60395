"""Choose a model's operating point: `python -m speaker_id.calibrate checkpoint=RUN data.test_list=test.tsv`."""

import json
import logging
from pathlib import Path
from typing import cast

import hydra
import numpy as np
import rich
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from speaker_id import __version__, build, checkpoint, scoring
from speaker_id.checkpoint import LoadedModel
from speaker_id.commandline import reported, run_command
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.data.lists import DataList, read_list
from speaker_id.errors import CheckpointError, ConfigError
from speaker_id.evaluation.calibration import (
    LabelledTrials,
    check_counts,
    check_others,
    check_promise,
    check_support,
    choose,
    count,
    halves,
    labelled_trials,
    measure_point,
    speakers_of,
)
from speaker_id.evaluation.calibration_results import (
    Found,
    Lists,
    calibration_record,
    calibration_table,
    quality_sentence,
)
from speaker_id.evaluation.embedding import Crop, HowToEmbed, embedded_table
from speaker_id.evaluation.leakage import check_leakage
from speaker_id.evaluation.quality import Measures, check_qualities, quality_gain
from speaker_id.pretrained.catalogue import model_path
from speaker_id.report.evaluation import Leakage
from speaker_id.report.files import whole_file

logger = logging.getLogger(__name__)

NAME = "calibration.json"


def calibrate(config: DictConfig) -> float:
    """Choose, measure, print one table, write calibration.json and the checkpoint; returns the Cllr measured."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    lists = read_lists(config)
    path = model_path(config.checkpoint)
    loaded = checkpoint.load(path)
    leakage = [
        check_leakage(data, loaded.seen, None, allowed=config.allow_leakage, model=str(config.checkpoint))
        for data in lists
    ]
    found = find(config, loaded, lists, leakage)
    text = record_of(config, loaded, lists, found)
    _write(folder / NAME, text)
    rich.get_console().print(calibration_table(found, lists))
    if found.gain is not None:
        logger.info("%s", quality_sentence(found.gain))
    check_promise(config.target_fpr, found.figures, source=lists.measured_on.source)
    if config.write:
        keep(path, found.point, loaded.fingerprint, text)
    else:
        logger.info("write=false: the checkpoint is as it was; %s lies in %s", NAME, folder)
    return found.value("cllr")


def read_lists(config: DictConfig) -> Lists:
    """Everything that can be refused before the minutes of embedding: options, lists, and what they can promise."""
    for name in ("target_fpr", "p_target"):
        if not 0 < config[name] < 1:
            raise ConfigError(f"{name}={config[name]}: give a number between 0 and 1, both excluded, like 0.01")
    if config.interval_draws < 1:
        raise ConfigError(f"interval_draws={config.interval_draws}: without draws nothing tests the promise; give 1000")
    if config.seed < 0:
        raise ConfigError(f"seed={config.seed}: give a whole number from 0 on")
    check_qualities(config.quality)
    data = read_list(config.data.test_list, root=config.data.root)
    if config.data.report_list is None:
        lists = Lists(*halves(data, seed=config.seed))
    else:
        lists = Lists(data, read_list(config.data.report_list, root=config.data.root))
        check_others(*lists)
    for part in lists:
        check_counts(count(speakers_of(part)), source=part.source)
    counts, source = count(speakers_of(lists.chosen_on)), lists.chosen_on.source
    advice = "; all of them count when data.report_list=FILE names other people to measure on"
    check_support(counts, config.target_fpr, source=source, advice="" if config.data.report_list else advice)
    return lists


def find(config: DictConfig, loaded: LoadedModel, lists: Lists, leakage: list[Leakage]) -> Found:
    """Embed both lists, choose on one, measure on the other."""
    chosen_on, measured_on = (embedded(config, loaded, data) for data in lists)
    point = choose(chosen_on[0], target_fpr=config.target_fpr, p_target=config.p_target)
    figures = measure_point(measured_on[0], point, num_draws=config.interval_draws, seed=config.seed)
    gain = None
    if config.quality:
        gain = quality_gain(
            chosen_on,
            measured_on,
            list(config.quality),
            p_target=config.p_target,
            rng=np.random.default_rng(config.seed),
            num_draws=config.interval_draws,
        )
    return Found(point, figures, gain, tuple(leakage))


def embedded(config: DictConfig, loaded: LoadedModel, data: DataList) -> tuple[LabelledTrials, Measures]:
    """All pairs of a list, scored, and what else is known of its recordings."""
    table, seconds = embedded_table(loaded, data, how_to_embed(config))
    measures = Measures(seconds, cast(FloatArray, np.linalg.norm(table, axis=1)))
    return labelled_trials(data.source, scoring.normalise(table), speakers_of(data)), measures


def how_to_embed(config: DictConfig) -> HowToEmbed:
    data = config.data
    whole = Crop("whole", data.max_seconds, 1)
    return HowToEmbed(config.device, data.min_seconds, data.max_seconds, data.batch_seconds, data.num_workers, whole)


def record_of(config: DictConfig, loaded: LoadedModel, lists: Lists, found: Found) -> str:
    """The text of calibration.json."""
    extra = {name: config[name] for name in ("checkpoint", "target_fpr", "p_target", "seed", "interval_draws")}
    extra |= {"fingerprint": loaded.fingerprint, "version": __version__}
    paths = (config.data.test_list, config.data.report_list or config.data.test_list)
    record = calibration_record(found, lists, paths, extra)
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def keep(path: Path, point: OperatingPoint, fingerprint: str, text: str) -> None:
    """Write the operating point into the checkpoint, unless training has put another model there meanwhile."""
    if checkpoint.load(path).fingerprint != fingerprint:
        raise CheckpointError(f"{path}: holds another model than when this began; calibrate it again")
    found = checkpoint.save_operating_point(path, point)
    beside = (found if found.is_dir() else found.parent) / NAME
    _write(beside, text)
    logger.info("%s accepts from a score of %.4f on; %s says how well that works", found, point.threshold, beside)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="calibrate")
@reported
def run(config: DictConfig) -> float:
    return calibrate(config)


def main() -> None:
    run_command(run, config_name="calibrate")


if __name__ == "__main__":
    main()
