"""Numbers as people read them, and what the figures mean in plain words."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from speaker_id.metrics import Interval
from speaker_id.report.evaluation import Figure

THIN = "\u202f"  # between a number and its unit: narrow, and no line ends there


class Words(NamedTuple):
    label: str
    kind: str  # "rate": printed in per cent; "number": as it is
    meaning: str


FIGURES = {
    "eer": ("Equal error rate (EER)", "rate", "As many strangers are let in as true speakers refused"),
    "threshold": ("Threshold at the EER", "number", "The score from which on a trial is accepted there"),
    "tpr": ("True speakers accepted there", "rate", "At the EER threshold"),
    "fpr": ("Strangers let in there", "rate", "At the EER threshold"),
    "tpr_at_fpr_001": ("Accepted at 1 % false accepts", "rate", "True speakers, when 1 stranger in 100 gets in"),
    "tpr_at_fpr_0001": ("Accepted at 0.1 % false accepts", "rate", "The same with 1 stranger in 1000"),
    "target_fpr": ("False accepts asked for", "rate", "What target_fpr named"),
    "tpr_at_target_fpr": ("Accepted at that rate", "rate", "True speakers, when no more strangers than that get in"),
    "threshold_at_target_fpr": ("Threshold for that rate", "number", ""),
    "operating_tpr": ("Accepted by the product", "rate", "True speakers accepted at the model's own threshold"),
    "operating_fpr": ("Strangers let in by the product", "rate", "At the model's own threshold"),
    "min_dcf": ("minDCF, 1 target in 100", "number", "Cost at the best threshold, where 1 attempt in 100 is true: "
                "0 perfect, 1 useless"),
    "min_dcf_05": ("minDCF, 1 target in 20", "number", "The same where 1 attempt in 20 is true"),
    "act_dcf": ("actDCF, 1 target in 100", "number", "Cost at the threshold that the calibration gives: near minDCF if "
                "it is right"),
    "act_dcf_05": ("actDCF, 1 target in 20", "number", "The same where 1 attempt in 20 is true"),
    "cllr": ("Cllr", "number", "Cost of the log-likelihood ratios in bits: 0 perfect, 1 as good as saying nothing"),
    "min_cllr": ("minCllr", "number", "What the best calibration of these scores would cost"),
    "accuracy": ("Best accuracy", "rate", "Right decisions at the threshold that makes most; misleads where strangers "
                 "are many"),
    "accuracy_threshold": ("Threshold of the best accuracy", "number", ""),
    "min_total_error": ("Lowest total error", "rate", "Both rates added, thresholds 0.00 to 0.99: what some older "
                        "toolkits call EER"),
}  # fmt: skip


def words_of(name: str) -> Words:
    """What a figure is called; one that is not known here by its own name."""
    return Words(*FIGURES.get(name, (name.replace("_", " "), "number", "")))


def percent(rate: float) -> str:
    """0.0493 -> "4.93 %"; small rates keep two digits, and exact ones are written short."""
    value = 100 * rate
    if value in (0, 100):
        return f"{value:.0f}{THIN}%"
    digits = 2 if value >= 0.1 else int(np.clip(1 - np.floor(np.log10(value)), 2, 6))
    if value > 99.9:
        digits = int(np.clip(1 - np.floor(np.log10(100 - value)), 2, 6))
    return f"{value:.{digits}f}{THIN}%"


def number(value: float) -> str:
    if not np.isfinite(value):
        return "none"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def count(value: int) -> str:
    return f"{value:,}"


def value_of(figure: Figure) -> str:
    return _printed(figure.name)(figure.value)


def interval_text(interval: Interval | None, name: str = "eer") -> str:
    """Both ends as the figure of that name is printed; nothing where there is no interval."""
    if interval is None:
        return ""
    printed = _printed(name)
    return f"{printed(interval.low)} to {printed(interval.high)}"


def _printed(name: str) -> Callable[[float], str]:
    return percent if words_of(name).kind == "rate" else number


class OutOf(NamedTuple):
    """A rate as people count: 49 of 1000."""

    num: int
    base: int

    @property
    def base_text(self) -> str:
        return str(self.base) if self.base < 10_000 else count(self.base)

    def __str__(self) -> str:
        return f"{self.num} of {self.base_text}"


def out_of(rate: float, base: int = 1000) -> OutOf:
    """Of so many that at least one of them is meant: 1000, or 10 000 or more for rare errors."""
    while 0 < rate * base < 1 and base < 1_000_000:
        base *= 10
    return OutOf(round(rate * base), base)


def at_most(num: int) -> float:
    """The highest rate with which no error in `num` trials still happens once in twenty (95 % limit)."""
    return float(1 - 0.05 ** (1 / num))


def seconds(value: float) -> str:
    return f"{value:.1f}{THIN}s"


def duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{60 * hours:.0f} minutes" if 60 * hours >= 2 else f"{3600 * hours:.0f} seconds"


def plural(num: int, one: str) -> str:
    return f"{num:,} {one if num == 1 else one + 's'}"


def part_in_words(value: object) -> str:
    """A part's config in one line: Ecapa (channels 512, ...)."""
    if not isinstance(value, Mapping):
        return str(value)
    name = str(value.get("_target_", "")).rpartition(".")[2]
    options = ", ".join(f"{key} {part_in_words(option)}" for key, option in value.items() if key != "_target_")
    return f"{name} ({options})".strip() if options else name
