"""Who it works for, in words and tables."""

from collections.abc import Iterator

from speaker_id.report import pictograms
from speaker_id.report.breakdowns import MIN_NONTARGETS, MIN_SPEAKERS, MIN_TARGETS, Breakdown, Gap, Group
from speaker_id.report.document import Cell, Note, Section, Table, cells
from speaker_id.report.findings import Findings
from speaker_id.report.words import count, interval_text, percent, plural

TITLES = {
    "test seconds": "By length of the test recording",
    "enrolment seconds": "By length of the enrolment recording",
}
COLUMNS = ("", "EER", "95 % interval", "", "strangers let in", "true refused", "speakers", "true / strangers' trials")
HINT = (
    "Nothing is known of these speakers that would tell them apart. A speakers.tsv beside the list (columns speaker, "
    "gender, age, language, ...) adds for whom it works better."
)


def groups(findings: Findings) -> Section:
    overall = findings.eer.value
    blocks = [block for breakdown in findings.breakdowns for block in _blocks(breakdown, overall)]
    if all(breakdown.key in TITLES for breakdown in findings.breakdowns):
        blocks.append(Note(HINT))
    lead = (
        f"The dotted line marks all trials ({percent(overall)}); errors are those at their common threshold. Between "
        "strangers a trial counts for a group of speakers when both belong to it. Rates need "
        f"{MIN_SPEAKERS} speakers, {MIN_TARGETS} true and {MIN_NONTARGETS} strangers' trials."
    )
    return Section("groups", "Who it works for", lead, blocks=tuple(blocks))


def _blocks(breakdown: Breakdown, overall: float) -> Iterator[Note | Table]:
    title = TITLES.get(breakdown.key, f"By {breakdown.key}")
    known = [group for group in breakdown.groups if group.eer is not None]
    if not known:
        yield Note(f"{title}: too few trials in each of {len(breakdown.groups)} groups to tell.")
        return
    highest = max(overall, *(group.interval.high if group.interval else group.eer or 0 for group in known))
    rows = tuple(_row(group, 1.05 * max(highest, 1e-6), overall) for group in breakdown.groups)
    yield Table(title, COLUMNS, "lrrlrrrr", rows)
    if breakdown.gap is not None:
        yield _gap(breakdown.gap, len(known))
    if breakdown.num_left_out:
        yield Note(f"{plural(breakdown.num_left_out, 'smaller group')} left out.")


def _row(group: Group, highest: float, overall: float) -> tuple[Cell, ...]:
    speakers = "" if group.num_speakers is None else count(group.num_speakers)
    trials = f"{count(group.num_targets)} / {count(group.num_nontargets)}"
    name = Cell(group.name, name=True)
    if group.eer is None or group.fpr is None or group.fnr is None:
        return (name, *cells("too few", "", "", "", "", speakers, trials))
    return (
        name,
        *cells(percent(group.eer), interval_text(group.interval)),
        Cell("", pictograms.whisker(group.eer, group.interval, highest, overall)),
        *cells(percent(group.fpr), percent(group.fnr), speakers, trials),
    )


def _gap(gap: Gap, among: int) -> Note:
    sides = ", ".join(
        f"{group.name} {percent(group.eer or 0)} ({plural(group.num_speakers or 0, 'speaker')})"
        for group in (gap.worst, gap.best)
    )
    words = f"{sides}: a gap of {100 * gap.difference:.1f} points"
    if gap.interval is None:
        return Note(f"{words}.")
    words = words if among == 2 else f"{words}, the largest among {among} groups"
    words += f", 95 % {100 * gap.interval.low:.1f} to {100 * gap.interval.high:.1f}"
    words += "." if gap.real else ": chance alone could make it."
    return Note(words, "bad" if gap.real else "plain")
