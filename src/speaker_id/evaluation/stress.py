"""The evaluation again with every test recording disturbed, the enrolled ones clean: how much does it take?"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speaker_id import metrics
from speaker_id.contracts import FloatArray
from speaker_id.data.dataset import Transform
from speaker_id.evaluation.disturbances import Condition
from speaker_id.report.evaluation import CLEAN, StressResult
from speaker_id.report.files import whole_file

if TYPE_CHECKING:
    from rich.table import Table

logger = logging.getLogger(__name__)

Embed = Callable[[Transform], FloatArray]  # disturbs every recording: -> (N, E) unit rows in the list's order
Score = Callable[[FloatArray, FloatArray], FloatArray]  # rows for enrolment, rows for test -> scores of the trials (M,)


def stress_test(
    conditions: Sequence[Condition],
    embeddings: FloatArray,
    is_target: NDArray[np.bool_],
    *,
    embed: Embed,
    score: Score,
    interval: Callable[[FloatArray], metrics.Interval] | None = None,
) -> tuple[StressResult, ...]:
    """The EER without disturbance, family "clean", then one result a condition, in their order.

    `embeddings` are the clean unit rows of the recordings, for both sides of a trial, and `is_target` (M,) the trials'
    kinds; `interval` turns scores (M,) into the 95 % interval of their EER, and is None where nobody says who speaks.
    """

    def measured(condition: Condition | None) -> StressResult:
        if condition is not None:
            logger.info("stress: %s", condition.words)
        scores = score(embeddings, embeddings if condition is None else embed(condition.transform))
        eer, spread = metrics.eer(scores, is_target).eer, interval(scores) if interval is not None else None
        if condition is None:
            return StressResult(CLEAN, "as recorded", None, "", eer, spread, len(scores))
        family, words, level, unit, _ = condition
        return StressResult(family, words, level, unit, eer, spread, len(scores))

    return tuple(measured(condition) for condition in (None, *conditions))


def stress_table(results: Sequence[StressResult]) -> "Table":
    """A table to print; the last column is how many times the clean EER."""
    from rich.table import Table

    clean = next((result.eer for result in results if result.family == CLEAN), 0.0)
    table = Table("test recordings", "EER", "95 % interval", "times clean", title="Robustness: enrolment is clean")
    for result, before in zip(results, (None, *results), strict=False):
        if before is not None and before.family != result.family:
            table.add_section()
        spread = "" if result.interval is None else f"{result.interval.low:.2%} to {result.interval.high:.2%}"
        table.add_row(result.condition, f"{result.eer:.2%}", spread, f"{result.eer / clean:.1f}" if clean else "")
    return table


def write_stress(folder: Path, results: Sequence[StressResult]) -> None:
    """Write stress.json (a list) and stress.tsv (the same rows; an interval is two columns, empty where unknown)."""
    rows = [
        {"family": family, "condition": condition, "level": level, "unit": unit, "eer": eer,
         "eer_low": None if interval is None else interval.low,
         "eer_high": None if interval is None else interval.high, "num_trials": num_trials}
        for family, condition, level, unit, eer, interval, num_trials in results
    ]  # fmt: skip
    with whole_file(folder / "stress.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ["\t".join(rows[0]), *("\t".join(_cell(value) for value in row.values()) for row in rows)] if rows else []
    with whole_file(folder / "stress.tsv") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
