"""The trials and recordings to listen to."""

from speaker_id.report.document import Cell, Note, Section, Table
from speaker_id.report.findings import Findings
from speaker_id.report.mistakes import Mistake

UNLIKE = "Recordings that do not match their own speaker's others"
WHY = "A wrong label looks just like this, and so do bad sound or a second voice: listen to them first."


def listening(findings: Findings) -> Section:
    found = findings.mistakes
    blocks: list[Note | Table] = [
        _mistakes("Same speaker, lowest scores", found.targets),
        _mistakes("Strangers, highest scores", found.nontargets),
    ]
    if found.outliers:
        rows = tuple(
            (Cell(o.name, row=o.row, name=True), Cell(o.speaker, name=True), Cell(f"{o.num_misses} of {o.num_targets}"))
            for o in found.outliers
        )
        blocks += [Table(UNLIKE, ("recording", "speaker", "trials refused"), "llr", rows), Note(WHY)]
    lead = "The hardest trials of each kind, hardest first. Listen before blaming the model: wrong labels gather here."
    return Section("listening", "Listen to the hardest trials", lead, blocks=tuple(blocks))


def _mistakes(caption: str, found: tuple[Mistake, ...]) -> Table:
    rows = tuple(
        (
            Cell(f"{mistake.score:.3f}"), Cell("wrong" if mistake.wrong else "right"),
            Cell(_said_by(mistake.enrol, mistake.enrol_speaker), row=mistake.enrol_row, name=True),
            Cell(_said_by(mistake.test, mistake.test_speaker), row=mistake.test_row, name=True),
        )
        for mistake in found
    )  # fmt: skip
    return Table(caption, ("score", "decision", "enrolled", "test"), "rlll", rows)


def _said_by(name: str, speaker: str) -> str:
    return f"{name} ({speaker})" if speaker else name
