"""Is one run better than another, or were it only these speakers?"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speaker_id.metrics import PairedDifference, figures, paired_differences
from speaker_id.report.scores import matched, read_scores

FEW_SPEAKERS = 20  # below, a 95 % interval by bootstrap holds the truth nearer 90 % of the time


@dataclass(frozen=True)
class RunComparison:
    """Two runs on the same trials; figures by their keys in metrics.json."""

    a: Path
    b: Path
    figures_a: Mapping[str, float]
    figures_b: Mapping[str, float]
    differences: Mapping[str, PairedDifference]  # eer, min_dcf, min_dcf_05: B's less A's
    num_targets: int
    num_nontargets: int
    num_speakers: int
    num_draws: int
    level: float

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdict on the EER, that on minDCF, and a warning where it must be taken with care."""
        verdicts = [
            _verdict("EER", self.differences["eer"], self.level, scale=100, digits=2, unit=" points"),
            _verdict("minDCF (p = 0.01)", self.differences["min_dcf"], self.level, scale=1, digits=4, unit=""),
        ]
        if self.num_speakers < FEW_SPEAKERS:
            verdicts.append(f"There are only {self.num_speakers} speakers, who say little about all the others.")
        return tuple(verdicts)

    @property
    def sentence(self) -> str:
        """The verdict on the EER in plain words."""
        return self.sentences[0]


def compare_runs(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    rng: np.random.Generator,
    num_draws: int = 1000,
    level: float = 0.95,
) -> RunComparison:
    """Compare two evaluations of the same trials by their scores.tsv, by paired bootstrap over speakers.

    `a` and `b` are folders of evaluations, or the files themselves. Raises `DataError` when a file is malformed or
    lacks the speakers, or the trials are not the same.
    """
    table_a, table_b = matched(read_scores(a), read_scores(b))
    is_target = table_a.is_target
    differences = paired_differences(
        table_a.scores, table_b.scores, is_target, *table_a.trial_speakers(), rng=rng, num_draws=num_draws, level=level
    )
    num_targets = int(np.count_nonzero(is_target))
    return RunComparison(
        a=Path(a),
        b=Path(b),
        figures_a=figures(table_a.scores, is_target),
        figures_b=figures(table_b.scores, is_target),
        differences=differences,
        num_targets=num_targets,
        num_nontargets=is_target.size - num_targets,
        num_speakers=len(set(table_a.speakers)),
        num_draws=num_draws,
        level=level,
    )


def _verdict(name: str, found: PairedDifference, level: float, *, scale: float, digits: int, unit: str) -> str:
    """`scale` and `digits` for the numbers as people read them."""

    def size(value: float) -> str:
        return f"{abs(scale * value):.{digits}f}"

    better, worse = found.difference < 0, found.difference > 0
    low, high = found.interval
    if found.significant:
        ends = sorted((abs(low), abs(high)))
        way = "lower" if better else "higher"
        return (
            f"B's {name} is {size(found.difference)}{unit} {way} than A's ({level:.0%} interval {size(ends[0])} to "
            f"{size(ends[1])}, p = {found.p_value:.2g}): the difference is real, {'B' if better else 'A'} is better."
        )
    way = f"{size(found.difference)}{unit} {'lower' if better else 'higher'} than" if better or worse else "the same as"
    return (
        f"B's {name} is {way} A's, but with other speakers it may be from {size(low)}{unit} lower to "
        f"{size(high)}{unit} higher ({level:.0%} interval, p = {found.p_value:.2g}): this cannot be told from chance."
    )
