"""A report as Markdown (GitHub's flavour): every word of the page, without its charts and sounds."""

import re
from collections.abc import Iterator

from speaker_id.report.document import Note, Report, Section, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#$&!])")
# At a line's start these would begin a list or underline a heading.
_LINE_START = re.compile(r"^(?:(?=[-+=](?:[-+=\s]|$))|(\d+)(?=[.)](?:\s|$)))")
_SIGNS = {"good": "✓ ", "unknown": "? ", "bad": "✗ ", "plain": ""}


def markdown(report: Report) -> str:
    """The file's text. Names of recordings and speakers are text here too: nothing in them is taken for markup."""
    lines = [f"# {escaped(report.title)}", "", escaped(report.subtitle), "", f"**{escaped(report.headline)}**", ""]
    lines += [line for detail in report.details for line in (escaped(detail), "")]
    lines += [f"- {_SIGNS[badge.level]}{escaped(badge.text)}" for badge in report.badges]
    lines += ["", "Charts, sounds and the map of voices are in report.html beside this file.", ""]
    for section in report.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """One line of text that reads as it is: a backslash before all that Markdown or HTML could take for its own."""
    return _LINE_START.sub(r"\1\\", _SPECIAL.sub(r"\\\1", " ".join(text.split())))


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escaped(section.title)}", "")
    if section.lead:
        yield from (escaped(section.lead), "")
    for block in section.blocks:
        yield from _note(block) if isinstance(block, Note) else _table(block)


def _note(note: Note) -> Iterator[str]:
    yield from (_SIGNS[note.level] + escaped(note.text), "")
    if note.command:
        yield from ("    " + " ".join(note.command.split()), "")  # indented: no fence that a name could close


def _table(table: Table) -> Iterator[str]:
    kept = [i for i in table.filled if any(row[i].text for row in table.rows)]
    if table.caption:
        yield from (f"### {escaped(table.caption)}", "")
    yield _row([escaped(table.columns[i]) for i in kept])
    yield _row(["---:" if table.align[i] == "r" else ":---" for i in kept])
    for row in table.rows:
        yield _row([escaped(row[i].text) for i in kept])
    yield ""


def _row(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"
