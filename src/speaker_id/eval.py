"""Evaluate a checkpoint: `python -m speaker_id.eval checkpoint=RUN data.test_list=test.tsv` or `trials=trials.txt`."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import hydra
import numpy as np
import rich
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.progress import Progress

from speaker_id import build, checkpoint, metrics, scoring
from speaker_id.commandline import reported, run_command
from speaker_id.contracts import FloatArray, as_path
from speaker_id.data.dataset import EvaluationDataset
from speaker_id.data.lists import DataList, Utterance, check_trials, read_list
from speaker_id.data.trials import Trials, read_trials
from speaker_id.errors import ConfigError, DataError
from speaker_id.inference.embedder import usable_device
from speaker_id.inference.extraction import embed_dataset, table_of
from speaker_id.report.plots import det_curve, score_histogram
from speaker_id.report.tables import metrics_table, write_metrics_json, write_scores_tsv

logger = logging.getLogger(__name__)


class ScoredTrials(NamedTuple):
    """Trials by row of the data list, each (M,)."""

    enrol: NDArray[np.intp]
    test: NDArray[np.intp]
    scores: FloatArray
    is_target: NDArray[np.bool_]


def evaluate(config: DictConfig) -> metrics.VerificationMetrics:
    """Embed, score, print one table and write metrics.json, scores.tsv, det.png and score_histogram.png."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    loaded = checkpoint.load(config.checkpoint)
    data, listed = read_inputs(config)
    dataset = EvaluationDataset(
        data,
        sample_rate=int(loaded.feature.sample_rate),  # type: ignore[arg-type]
        min_seconds=config.data.min_seconds,
        max_seconds=config.data.max_seconds,
    )
    embeddings = scoring.normalise(embed(loaded, dataset, config))
    scored = score_all_pairs(embeddings, dataset.labels) if listed is None else score_listed(embeddings, data, listed)
    result = metrics.verification_metrics(scored.scores, scored.is_target)
    interval = speaker_interval(config, data, scored, all_labelled=config.data.test_list is not None)
    write_results(folder, config, data, scored, result, interval)
    rich.get_console().print(metrics_table(result, interval))
    logger.info("metrics.json, scores.tsv, det.png and score_histogram.png lie in %s", folder)
    return result


def read_inputs(config: DictConfig) -> tuple[DataList, Trials | None]:
    """The recordings to embed, and the trials among them; None stands for all pairs."""
    if config.trials is None and config.data.test_list is None:
        raise ConfigError("give data.test_list=FILE for all pairs of a list, or trials=FILE for listed trials")
    if config.trials is None:
        data = read_list(config.data.test_list, root=config.data.root)
        check_trials(data)
        return data, None
    trials = read_trials(config.trials)
    if config.data.test_list is not None:
        return read_list(config.data.test_list, root=config.data.root), trials
    return list_of(trials, Path(config.trials), config.data.root), trials


def list_of(trials: Trials, source: Path, root: str | None) -> DataList:
    """The recordings that a trial list names; nobody says who speaks in them, so their labels are empty."""
    base = as_path(root) if root is not None else source.resolve().parent
    names = dict.fromkeys([*trials.enrol, *trials.test])
    for name in names:
        if not (base / name).is_file():
            raise DataError(f"{source}: no such recording: {base / name}; say where paths start with data.root=FOLDER")
    return DataList(str(source), tuple(Utterance(str(base / name), "", name) for name in names))


def embed(loaded: checkpoint.LoadedModel, dataset: EvaluationDataset, config: DictConfig) -> FloatArray:
    batches = embed_dataset(
        loaded,
        dataset,
        device=usable_device(config.device),
        batch_seconds=config.data.batch_seconds,
        num_workers=config.data.num_workers,
    )
    return table_of(with_progress(batches, len(dataset)), len(dataset))


def with_progress(
    batches: Iterable[tuple[list[int], FloatArray]], num_rows: int
) -> Iterator[tuple[list[int], FloatArray]]:
    with Progress(console=rich.get_console()) as progress:
        task = progress.add_task("embedding", total=num_rows)
        for rows, embeddings in batches:
            yield rows, embeddings
            progress.advance(task, len(rows))


def score_all_pairs(embeddings: FloatArray, labels: list[int]) -> ScoredTrials:
    """Every unordered pair of recordings once, in the order 01, 02, ... 12, 13, ..."""
    pairs = scoring.all_pairs(embeddings, labels)
    enrol, test = scoring.pair_indices(len(embeddings))
    speakers = np.asarray(labels)
    is_target = speakers[enrol] == speakers[test]
    scores = np.empty(len(is_target), np.float32)
    scores[is_target], scores[~is_target] = pairs
    return ScoredTrials(enrol, test, scores, is_target)


def score_listed(embeddings: FloatArray, data: DataList, trials: Trials) -> ScoredTrials:
    row = {utterance.name: index for index, utterance in enumerate(data.utterances)}
    unknown = next((name for name in [*trials.enrol, *trials.test] if name not in row), None)
    if unknown is not None:
        raise DataError(f"the trials name {unknown!r}, which {data.source} does not list")
    enrol, test = (np.array([row[name] for name in names], np.intp) for names in (trials.enrol, trials.test))
    return ScoredTrials(enrol, test, scoring.score_trials(embeddings, enrol, test), trials.is_target)


def speaker_interval(
    config: DictConfig, data: DataList, scored: ScoredTrials, *, all_labelled: bool
) -> metrics.Interval | None:
    """The EER's 95 % interval by bootstrap over speakers; None when nobody says who speaks."""
    if not all_labelled or config.interval_draws == 0:
        return None
    numbers = {label: number for number, label in enumerate(data.speakers)}
    speakers = np.array([numbers[utterance.label] for utterance in data.utterances])
    rng = np.random.default_rng(config.seed)
    return metrics.eer_interval(
        scored.scores,
        scored.is_target,
        speakers[scored.enrol],
        speakers[scored.test],
        rng=rng,
        num_draws=config.interval_draws,
    )


def write_results(
    folder: Path,
    config: DictConfig,
    data: DataList,
    scored: ScoredTrials,
    result: metrics.VerificationMetrics,
    interval: metrics.Interval | None,
) -> None:
    names = [utterance.name for utterance in data.utterances]
    extra = {"checkpoint": str(config.checkpoint), "list": data.source, "num_recordings": len(names)}
    write_metrics_json(folder / "metrics.json", result, interval, extra)
    enrol, test = (map(names.__getitem__, rows) for rows in (scored.enrol, scored.test))
    write_scores_tsv(folder / "scores.tsv", enrol, test, scored.scores, scored.is_target)
    target, nontarget = scored.scores[scored.is_target], scored.scores[~scored.is_target]
    det_curve(target, nontarget, folder / "det.png")
    score_histogram(target, nontarget, result.threshold, folder / "score_histogram.png")


@hydra.main(version_base="1.3", config_path=str(build.CONF_DIR), config_name="eval")
@reported
def run(config: DictConfig) -> float:
    return evaluate(config).eer


def main() -> None:
    run_command(run, config_name="eval")


if __name__ == "__main__":
    main()
