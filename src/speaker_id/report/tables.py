"""The numbers of an evaluation: a table to read, JSON and tab-separated scores to compute with."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from speaker_id.errors import DataError
from speaker_id.metrics import Interval, VerificationMetrics
from speaker_id.report.files import whole_file

if TYPE_CHECKING:
    from rich.table import Table


def metrics_table(metrics: VerificationMetrics, interval: Interval | None = None) -> "Table":
    """A two-column table to print; rates in per cent. `interval` is the 95 % interval of the EER."""
    from rich.table import Table

    eer = f"{metrics.eer:.2%}"
    if interval is not None:
        eer += f"  (95 % interval {interval.low:.2%} to {interval.high:.2%})"
    table = Table("measure", "value", title="Speaker verification")
    for name, value in (
        ("EER", eer),
        ("threshold at the EER", f"{metrics.threshold:.4f}"),
        ("targets accepted there (tpr)", f"{metrics.tpr:.2%}"),
        ("nontargets accepted there (fpr)", f"{metrics.fpr:.2%}"),
        ("minDCF, p(target) = 0.01", f"{metrics.min_dcf:.4f}"),
        ("minDCF, p(target) = 0.05", f"{metrics.min_dcf_05:.4f}"),
        ("trials", f"{metrics.num_trials:,}"),
        ("of them target", f"{metrics.num_targets:,}"),
        ("of them nontarget", f"{metrics.num_nontargets:,}"),
    ):
        table.add_row(name, value)
    return table


def write_metrics_json(
    path: str | os.PathLike[str],
    metrics: VerificationMetrics,
    interval: Interval | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the metrics under their own names, `eer_interval` as [low, high] or null, then `extra`.

    Raises `DataError` when `extra` repeats a name or JSON cannot hold it, `SpeakerIdError` when the disk refuses.
    """
    values: dict[str, Any] = {
        "eer": metrics.eer,
        "eer_interval": None if interval is None else list(interval),
        "threshold": metrics.threshold,
        "tpr": metrics.tpr,
        "fpr": metrics.fpr,
        "min_dcf": metrics.min_dcf,
        "min_dcf_05": metrics.min_dcf_05,
        "num_trials": metrics.num_trials,
        "num_targets": metrics.num_targets,
        "num_nontargets": metrics.num_nontargets,
    }
    if repeated := sorted(values.keys() & (extra or {}).keys()):
        raise DataError(f"{path}: the extra values would overwrite {', '.join(repeated)}")
    try:
        text = json.dumps(values | dict(extra or {}), indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a value cannot be written as JSON: {error}") from error
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_scores_tsv(
    path: str | os.PathLike[str],
    enrol_names: Iterable[str],
    test_names: Iterable[str],
    scores: ArrayLike,
    is_target: ArrayLike,
) -> None:
    """Write `enrol<tab>test<tab>score<tab>label` with a header, label `target` or `nontarget`, one trial a line.

    Names may come from generators: nothing is collected. Nine digits keep a float32 score exactly. Raises `DataError`
    for a name that holds a tab or a line break, or columns of different length.
    """
    columns = (enrol_names, test_names, np.asarray(scores), np.asarray(is_target))
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("enrol\ttest\tscore\tlabel\n")
        try:
            for enrol, test, score, flag in zip(*columns, strict=True):
                line = f"{enrol}\t{test}\t{score:.9g}\t{'target' if flag else 'nontarget'}"
                if line.count("\t") != 3 or "\n" in line or "\r" in line:
                    raise DataError(f"{path}: {enrol!r} or {test!r} holds a tab or a line break: rename the recording")
                file.write(line + "\n")
        except ValueError as error:  # from zip
            raise DataError(f"{path}: names, scores and labels differ in number: {error}") from error
