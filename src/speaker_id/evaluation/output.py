"""What an evaluation shows, and the files it leaves behind."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speaker_id.contracts import OperatingPoint
from speaker_id.evaluation.results import facts_of
from speaker_id.metrics.binned import BinnedMetrics
from speaker_id.report.evaluation import Evaluation, Figure
from speaker_id.report.plots import det_curve, rates_by_threshold, score_histogram
from speaker_id.report.tables import metrics_table, write_metrics_json, write_scores_tsv

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger(__name__)


def write_files(evaluation: Evaluation, folder: Path) -> None:
    """Write metrics.json, scores.tsv, det.png, rates_by_threshold.png and score_histogram.png."""
    trials, names, speakers = evaluation.trials, evaluation.recordings.names, evaluation.recordings.speakers
    facts = facts_of(
        evaluation.card,
        evaluation.leakage,
        num_recordings=sum(map(bool, evaluation.recordings.paths)),
        back_end=evaluation.back_end,
        crop=evaluation.crop,
        operating_point=evaluation.operating_point,
    )
    num_targets = int(trials.is_target.sum())
    counts = {"num_targets": num_targets, "num_nontargets": len(trials.scores) - num_targets}
    write_metrics_json(folder / "metrics.json", evaluation.figures, **counts, extra=facts)
    spoken = evaluation.recordings.labelled
    write_scores_tsv(
        folder / "scores.tsv",
        map(names.__getitem__, trials.enrol),
        map(names.__getitem__, trials.test),
        trials.scores,
        trials.is_target,
        enrol_speakers=map(speakers.__getitem__, trials.enrol) if spoken else None,
        test_speakers=map(speakers.__getitem__, trials.test) if spoken else None,
    )
    target, nontarget = trials.scores[trials.is_target], trials.scores[~trials.is_target]
    det_curve(target, nontarget, folder / "det.png")
    threshold = evaluation.figure("threshold").value
    rates_by_threshold(target, nontarget, threshold, folder / "rates_by_threshold.png")
    score_histogram(target, nontarget, threshold, folder / "score_histogram.png")


def evaluation_table(evaluation: Evaluation, *, point_of_model: OperatingPoint | None) -> "Table":
    """The table to print: figures, trials, and whether the scores are calibrated."""
    num_targets = int(evaluation.trials.is_target.sum())
    num_nontargets = len(evaluation.trials.scores) - num_targets
    table = metrics_table(evaluation.figures, num_targets=num_targets, num_nontargets=num_nontargets)
    table.add_row("calibration", calibration_words(evaluation.operating_point, point_of_model))
    table.columns[1].no_wrap = True  # on a narrow screen the labels wrap, not the numbers
    return table


def write_counted(figures: Sequence[Figure], found: BinnedMetrics, folder: Path, facts: Mapping[str, object]) -> None:
    """Write metrics.json of an evaluation whose scores were counted, with how far off they can be."""
    errors = {name: getattr(found, name) for name in ("eer_max_error", "min_dcf_max_error", "min_dcf_05_max_error")}
    counts = {"num_targets": found.num_targets, "num_nontargets": found.num_nontargets}
    write_metrics_json(folder / "metrics.json", figures, **counts, extra={**errors, **facts})
    logger.warning(
        "scores were counted in bins: the EER is within %.1g of the exact one; there are no intervals, no scores.tsv "
        "and no plots", found.eer_max_error,
    )  # fmt: skip


def counted_table(figures: Sequence[Figure], found: BinnedMetrics) -> "Table":
    """The table to print for counted scores."""
    return metrics_table(figures, num_targets=found.num_targets, num_nontargets=found.num_nontargets)


def calibration_words(point: OperatingPoint | None, point_of_model: OperatingPoint | None) -> str:
    """Whether these scores are worth a number; `point_of_model` is what the checkpoint has, fitting or not."""
    if point is not None and point.calibrated:
        return "calibrated"
    if point_of_model is not None and point_of_model.calibrated:
        return "uncalibrated (only plain cosines are)"
    return "uncalibrated"
