"""What was evaluated, what it shares with the training, and which model it was."""

from collections.abc import Iterator

from speaker_id.report.document import Cell, Note, Section, Table, cells
from speaker_id.report.findings import Findings
from speaker_id.report.words import count, duration, part_in_words, percent, plural, seconds

MAX_LEAKS = 20
UNCHECKED = (
    "Leakage was not checked: the checkpoint does not say what it was trained on. If these speakers were in its "
    "training, the figures flatter."
)
SELECTION = "these also chose the model's best epoch: the figures may flatter a little."


def trials(findings: Findings) -> Section:
    s = findings.statistics
    lengths = (s.seconds_min, s.seconds_median, s.seconds_max)
    rows = [
        ("recordings", count(s.num_recordings)),
        ("speakers", "unknown" if s.num_speakers is None else count(s.num_speakers)),
        ("trials of the same speaker (target)", count(s.num_targets)),
        ("trials of strangers (nontarget)", count(s.num_nontargets)),
        ("sound", duration(s.hours)),
        ("a recording, shortest / median / longest", " / ".join(map(seconds, lengths))),
    ]
    if s.largest_speaker is not None:
        rows.append(("share of the target trials of the most frequent speaker", percent(s.largest_speaker)))
    rows += [("scoring", findings.back_end), ("recordings are embedded as", findings.crop)]
    table = Table("", ("", ""), "lw", tuple(cells(*row) for row in rows))
    return Section("trials", "Trials and leakage", "", blocks=(*_leakage(findings), table))


def _leakage(findings: Findings) -> Iterator[Note | Table]:
    leakage = findings.leakage
    if not leakage.checked:
        yield Note(UNCHECKED, "unknown")
        return
    learnt = {
        "speakers": leakage.speakers, "files": leakage.recordings, "sounds": leakage.audio, "cohort": leakage.cohort,
    }  # fmt: skip
    if leakage.found:
        parts = ", ".join(f"{count(len(names))} {what}" for what, names in learnt.items() if names)
        allowed = " The run was let through by allow_leakage=true." if leakage.allowed else ""
        yield Note(f"Leakage: {parts} were already learnt from, so that the figures flatter.{allowed}", "bad")
    else:
        yield Note("No leakage: training and evaluation share no speaker, no file and no sound.", "good")
    if leakage.selection:
        yield Note(f"{plural(len(leakage.selection), 'name')} of {SELECTION}", "unknown")
    rows = [(what, name) for what, names in (learnt | {"selection": leakage.selection}).items() for name in names]
    if rows:
        shown = tuple((Cell(what), Cell(name, name=True)) for what, name in rows[:MAX_LEAKS])
        yield Table("Shared with the training", ("what", "name"), "ll", shown)
    if len(rows) > MAX_LEAKS:
        yield Note(f"And {count(len(rows) - MAX_LEAKS)} more, all of them in report.json.")


def model(findings: Findings) -> Section:
    card = findings.card
    point = findings.operating_point
    rows = [
        ("checkpoint", card.checkpoint), ("fingerprint", card.fingerprint),
        ("parameters", count(card.num_parameters)), ("embedding", f"{card.embedding_dim} numbers"),
        ("pauses", f"cut by {part_in_words(card.vad)}" if card.vad else "kept"),
        *((name, part_in_words(getattr(card, name))) for name in ("feature", "model", "pooling")),
        ("trained on", plural(card.num_training_speakers, "speaker")),
        ("threshold of its own", "none" if point is None else f"{point.threshold:.4f}: {point.source}"),
        ("evaluated on", card.evaluation_list), ("SHA-256 of that list", card.evaluation_digest),
        ("command", card.command), ("version", f"speaker-id {card.version}"), ("made", card.created),
    ]  # fmt: skip
    table = Table("", ("", ""), "lw", tuple((Cell(name), Cell(value, name=True)) for name, value in rows))
    return Section("model", "Model card", "Where the figures come from.", blocks=(table,))
