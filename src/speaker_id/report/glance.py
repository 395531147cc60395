"""The top of a report: what the figures mean for people who knock at a door."""

from collections.abc import Iterator
from typing import Literal

from speaker_id.report import pictograms
from speaker_id.report.curves import PRODUCT
from speaker_id.report.document import Badge, Outcome, Report
from speaker_id.report.findings import Findings
from speaker_id.report.sections import sections
from speaker_id.report.words import at_most, count, interval_text, out_of, percent, plural

FEW_SPEAKERS = 30


def report(findings: Findings) -> Report:
    """Findings -> everything a page says."""
    card = findings.card
    return Report(
        title="How well voices are told apart",
        subtitle=f"{card.checkpoint} on {card.evaluation_list}, {card.created[:10]}",
        headline=headline(findings),
        details=tuple(details(findings)),
        outcomes=outcomes(findings),
        badges=tuple(badges(findings)),
        sections=sections(findings),
    )


def headline(findings: Findings) -> str:
    eer = findings.eer.value
    if eer == 0:
        total = findings.statistics.num_targets + findings.statistics.num_nontargets
        return f"All {count(total)} attempts were decided rightly at the threshold {findings.marks[0].threshold:.3f}."
    share = out_of(eer)
    return (
        f"Of {share.base_text} strangers' attempts about {share.num} would be let in, and as many of "
        f"{share.base_text} true ones refused, at the threshold {findings.marks[0].threshold:.3f}."
    )


def details(findings: Findings) -> Iterator[str]:
    _, eer, interval = findings.eer
    s = findings.statistics
    if eer == 0:
        yield (
            "That nothing went wrong here does not show that nothing will: up to "
            f"{percent(at_most(s.num_nontargets))} of strangers' and {percent(at_most(s.num_targets))} of true "
            "attempts still could (95 %), and more where few people made them."
        )
    elif interval is not None:
        yield f"Equal error rate {percent(eer)}; with other speakers of this kind {interval_text(interval)} (95 %)."
    else:
        yield f"Equal error rate {percent(eer)}."
    point = findings.operating_point
    mark = next((mark for mark in findings.marks if mark.name == PRODUCT), None)
    if point is not None and mark is not None:
        yield (
            f"The product decides at {point.threshold:.3f}: {out_of(mark.fpr)} strangers let in, {out_of(mark.fnr)} "
            f"true speakers refused ({point.source})."
        )
    speakers = "" if s.num_speakers is None else f"{plural(s.num_speakers, 'speaker')}, "
    yield (
        f"Measured on {speakers}{plural(s.num_recordings, 'recording')}: {count(s.num_targets)} attempts of the same "
        f"speaker, {count(s.num_nontargets)} of strangers. Strangers spoke with their own voice: imitation, playback "
        "and synthetic voices are another question."
    )


def outcomes(findings: Findings) -> tuple[Outcome, ...]:
    _, eer, interval = findings.eer
    share = out_of(eer)
    spread = "" if interval is None else f"{interval_text(interval)} (95 %)."
    words: tuple[tuple[Literal["target", "nontarget"], str, str], ...] = (
        ("nontarget", "Strangers let in", "Security: somebody else is taken for the speaker."),
        ("target", "True speakers refused", "Comfort: the speaker must try again."),
    )
    return tuple(
        Outcome(
            kind, title, str(share), f"{meaning} {spread}".strip(),
            pictograms.waffle(eer, kind, f"{share} {title.lower()}"),
        )
        for kind, title, meaning in words
    )  # fmt: skip


def badges(findings: Findings) -> Iterator[Badge]:
    leakage, s = findings.leakage, findings.statistics
    if not leakage.checked:
        yield Badge("unknown", "Leakage not checked")
    else:
        yield Badge("bad", "Leakage: figures flatter") if leakage.found else Badge("good", "No leakage from training")
    calibrated = findings.reliability.stated is not None
    yield Badge("good", "Calibrated") if calibrated else Badge("unknown", "Uncalibrated")
    if s.num_speakers is None:
        yield Badge("unknown", "Speakers unknown: no intervals")
    elif s.num_speakers < FEW_SPEAKERS:
        yield Badge("unknown", f"Only {plural(s.num_speakers, 'speaker')}")
    for breakdown in findings.breakdowns:
        if breakdown.gap is not None and breakdown.gap.real:
            yield Badge("bad", f"Gap by {breakdown.key}")
