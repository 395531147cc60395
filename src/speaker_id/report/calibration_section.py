"""Whether a score can be read as evidence."""

import shlex

from speaker_id.report import drawings
from speaker_id.report.document import Drawing, Note, Section
from speaker_id.report.findings import Findings

MEANING = "×100 means: a hundred times likelier from the same speaker than from two speakers."
TRUE = " On the dotted line the model's word is true; where the curve is flatter, it claims more than it holds."
UNCALIBRATED = (
    "Uncalibrated: the score only ranks. It says that one pair is more alike than another, not how likely it is that "
    "one person speaks in both. Calibrate on other trials than these:"
)


def calibration(findings: Findings) -> Section:
    found = findings.reliability
    calibrated = found.stated is not None
    notes = [_loss(findings)] if calibrated else [Note(UNCALIBRATED, "unknown", how_to_calibrate(findings))]
    charts = []
    if found.observed.size:
        title = "Stated and found" if calibrated else "What a score is worth here"
        charts.append(Drawing(title, drawings.reliability(found), caption=MEANING + (TRUE if calibrated else "")))
    else:
        notes.append(Note("No score was reached by both kinds of trials: how much one is worth cannot be seen here."))
    return Section("calibration", "Calibration", "Can the score be read as evidence?", tuple(charts), tuple(notes))


def how_to_calibrate(findings: Findings) -> str:
    model = shlex.quote(f"checkpoint={findings.card.checkpoint}")
    return f"python -m speaker_id.calibrate {model} data.test_list=OTHER_LIST target_fpr=0.01"


def _loss(findings: Findings) -> Note:
    cllr, best, point = findings.figure("cllr"), findings.figure("min_cllr"), findings.operating_point
    told = f"Calibrated: {point.source}." if point is not None else "Calibrated."
    if cllr is None or best is None:
        return Note(told)
    lost = cllr.value - best.value
    told += f" Cllr is {cllr.value:.3f} bits, of which {lost:.3f} are lost by the calibration."
    if lost <= max(0.1 * best.value, 0.01):
        return Note(told + " On trials like these the likelihood ratios can be trusted.", "good")
    return Note(told + " Calibrate on trials that resemble these more.", "bad" if cllr.value > 1 else "unknown")
