"""What a report is made of, whatever it is written as: sections of notes, tables and charts."""

from typing import Literal, NamedTuple

from markupsafe import Markup

Level = Literal["good", "unknown", "bad"]


class Note(NamedTuple):
    """A remark; `command` is what to type, on a line of its own."""

    text: str
    level: Level | Literal["plain"] = "plain"
    command: str = ""


class Cell(NamedTuple):
    """Text, and what only the page shows beside it."""

    text: str
    drawing: Markup = Markup()
    row: int | None = None  # of the recordings: the page plays it
    name: bool = False  # given by people: shown whole, and isolated where it is written from right to left


class Table(NamedTuple):
    """`align` has a letter per column: l, r."""

    caption: str
    columns: tuple[str, ...]
    align: str
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def filled(self) -> list[int]:
        """Columns that say or show something in some row: the others need not be shown."""
        return [i for i in range(len(self.columns)) if any(row[i].text or row[i].drawing for row in self.rows)]


class Key(NamedTuple):
    """A line of a chart's legend: the style of what is drawn, and its words."""

    style: str
    text: str
    shape: str = ""  # of a mark, "" for a patch of colour


class Drawing(NamedTuple):
    title: str
    svg: Markup
    keys: tuple[Key, ...] = ()
    caption: str = ""


class Section(NamedTuple):
    key: str
    title: str
    lead: str
    drawings: tuple[Drawing, ...] = ()
    blocks: tuple[Note | Table, ...] = ()


class Badge(NamedTuple):
    level: Level
    text: str


class Outcome(NamedTuple):
    """One kind of attempts and how many of a thousand go wrong."""

    kind: Literal["target", "nontarget"]
    title: str
    big: str
    text: str
    drawing: Markup


class Report(NamedTuple):
    title: str
    subtitle: str
    headline: str
    details: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    badges: tuple[Badge, ...]
    sections: tuple[Section, ...]


def cells(*texts: str) -> tuple[Cell, ...]:
    return tuple(Cell(text) for text in texts)
