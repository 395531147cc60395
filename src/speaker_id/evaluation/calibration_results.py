"""What a calibration found out: a table to read, and everything else for calibration.json."""

import hashlib
import os
from typing import Any, NamedTuple

from rich.table import Table

from speaker_id.contracts import OperatingPoint, as_path
from speaker_id.data.lists import DataList
from speaker_id.evaluation.calibration import count, percent, speakers_of
from speaker_id.evaluation.quality import QualityGain
from speaker_id.report.evaluation import Figure, Leakage

LABELS = {
    "operating_fpr": "nontargets accepted (fpr)",
    "operating_tpr": "targets accepted (tpr)",
    "act_dcf": "actDCF, p(target) = 0.01",
    "min_dcf": "minDCF, p(target) = 0.01",
    "act_dcf_05": "actDCF, p(target) = 0.05",
    "min_dcf_05": "minDCF, p(target) = 0.05",
    "cllr": "Cllr, bits",
    "min_cllr": "minCllr, bits",
    "eer": "EER",
}
RATES = {"operating_fpr", "operating_tpr", "eer"}  # printed in per cent


class Lists(NamedTuple):
    """The recordings that the operating point is chosen on, and those that it is measured on: other speakers."""

    chosen_on: DataList
    measured_on: DataList


class Found(NamedTuple):
    """The operating point, and what it does to the speakers that it was not chosen on."""

    point: OperatingPoint
    figures: tuple[Figure, ...]
    gain: QualityGain | None  # None: nobody asked
    leakage: tuple[Leakage, ...]  # of either list

    def value(self, name: str) -> float:
        return next(figure.value for figure in self.figures if figure.name == name)


def calibration_table(found: Found, lists: Lists) -> Table:
    table = Table("measure", "value", title=f"Threshold {found.point.threshold:.4f}, measured on other speakers")
    for figure in found.figures:
        interval = ""
        if figure.interval is not None:
            low, high = (_shown(figure.name, end) for end in figure.interval)
            interval = f"  (95 % interval {low} to {high})"
        table.add_row(LABELS[figure.name], _shown(figure.name, figure.value) + interval)
    table.add_row("log-likelihood ratio", f"{found.point.llr_scale:.3f} score {found.point.llr_offset:+.3f}")
    for word, data in zip(("chosen", "measured"), lists, strict=True):
        counts = count(speakers_of(data))
        trials = f"{counts.num_targets:,} target, {counts.num_nontargets:,} nontarget trials"
        table.add_row(f"{word} on", f"{counts.num_speakers} speakers, {trials}")
    return table


def quality_sentence(gain: QualityGain) -> str:
    """Whether qualities are worth having, for people."""
    change = ", ".join(
        f"{LABELS[name]} {_shown(name, gain.score_alone[name])} -> {_shown(name, gain.with_quality[name])}"
        for name in ("cllr", "act_dcf", "min_dcf", "eer")
    )
    verdict = "would help" if gain.helps else "would not help that one could tell"
    return f"{' and '.join(gain.qualities)} beside the score {verdict}: {change}. The checkpoint keeps the score alone."


def calibration_record(found: Found, lists: Lists, paths: tuple[str, str], extra: dict[str, Any]) -> dict[str, Any]:
    """Everything as plain types; `paths` are the files of either list, `extra` says where the rest came from."""
    figures = {
        figure.name: {"value": figure.value, "interval": None if figure.interval is None else list(figure.interval)}
        for figure in found.figures
    }
    chosen_on, measured_on = (_set(data, path) for data, path in zip(lists, paths, strict=True))
    return {
        **extra,
        "operating_point": found.point._asdict(),
        "chosen_on": chosen_on,
        "measured_on": measured_on,
        "figures": figures,
        "quality": None if found.gain is None else _gain(found.gain),
        "leakage": [leakage._asdict() for leakage in found.leakage],
    }


def _shown(name: str, value: float) -> str:
    return percent(value) if name in RATES else f"{value:.4f}"


def _set(data: DataList, path: str | os.PathLike[str]) -> dict[str, Any]:
    """A set of recordings; the digest is that of the list's whole file."""
    digest = hashlib.sha256(as_path(path).read_bytes()).hexdigest()
    counts = count(speakers_of(data))._asdict()
    return {"list": str(path), "sha256": digest, "num_recordings": len(data.utterances), **counts}


def _gain(gain: QualityGain) -> dict[str, Any]:
    differences = {
        name: {**found._asdict(), "interval": list(found.interval), "significant": found.significant}
        for name, found in gain.differences.items()
    }
    return {**gain._asdict(), "differences": differences, "helps": gain.helps}
