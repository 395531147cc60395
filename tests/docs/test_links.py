"""What the pages point at exists, and the READMEs point at every page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")])


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} points at {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} points at {target}"


@pytest.mark.parametrize("ending", [".md", ".zh.md"])
def test_the_readme_names_every_page_in_its_language_if_there_is_one(ending: str) -> None:
    readme = (ROOT / f"README{ending}").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        if not page.name.endswith(".zh.md"):
            translated = page.with_suffix(ending)
            assert f"docs/{translated.name if translated.exists() else page.name}" in readme
