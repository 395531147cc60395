import string

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from speaker_id.report.charts import tag
from speaker_id.report.document import Badge, Cell, Note, Report, Section, Table, cells
from speaker_id.report.markdown import escaped, markdown

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TRICKY = st.text(string.punctuation + "a1 \t\n", min_size=1, max_size=30)


def plain_text(source: str) -> str:
    """What a reader sees of one paragraph; fails when anything in it became markup."""
    tokens = RENDER.parse(source)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], source
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, source
    return "".join(child.content for child in children)


@given(TRICKY.filter(str.strip))
def test_whatever_is_written_reads_as_it_is(text: str) -> None:
    assert plain_text(escaped(text)) == " ".join(text.split())


@given(st.lists(st.tuples(TRICKY, TRICKY), min_size=1, max_size=4))
def test_cells_stay_in_their_columns(rows: list[tuple[str, str]]) -> None:
    table = Table("t", ("a", "b"), "lr", tuple(cells(*row) for row in rows))
    tokens = RENDER.parse(markdown(report(table)))
    inside = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "td_open"]
    assert len(inside) == 2 * len(rows)
    aligned = [token.attrGet("style") for token in tokens if token.type == "td_open"]
    assert aligned[:2] == ["text-align:left", "text-align:right"]


def report(*blocks: Table | Note) -> Report:
    badges = (Badge("good", "fine"), Badge("bad", "not fine"))
    return Report("Title", "of it", "Most.", ("More.",), (), badges, (Section("key", "Name", "Lead.", (), blocks),))


def test_everything_said_is_there_in_its_order() -> None:
    note = Note("Do this:", "unknown", "python -m x a='b`c'")
    lines = [line for line in markdown(report(note)).splitlines() if line]
    assert lines[:6] == ["# Title", "of it", "**Most.**", "More.", "- ✓ fine", "- ✗ not fine"]
    assert lines[-4:] == ["## Name", "Lead.", "? Do this:", "    python -m x a='b`c'"]


def test_columns_that_only_the_page_fills_are_left_out() -> None:
    drawn = Cell("", tag("svg"))
    table = Table("", ("", "a", "", "empty"), "llrr", ((*cells("x", "y"), drawn, Cell("")),))
    assert "| x | y |" in markdown(report(table))
    assert table.filled == [0, 1, 2]


def test_numbers_read_as_numbers_in_the_source_too() -> None:
    assert [escaped(text) for text in ("4.93 %", "1. first", "-0.5", "2) x")] == [
        "4.93 %",
        "1\\. first",
        "-0.5",
        "2\\) x",
    ]
