"""A headless Chromium that keeps a record of everything that goes wrong in a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENT_SECONDS = 180  # for one step in a page: Playwright's own half minute may pass on a busy machine
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program() -> str:
    """The system's Chromium; the test is skipped where there is none."""
    found = os.environ.get("SPEAKER_ID_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or set SPEAKER_ID_CHROMIUM to its program")
    return found


@contextmanager
def launched(*arguments: str) -> Iterator["Browser"]:
    """A fresh browser with a profile of its own; `arguments` as on its command line.

    While it is open an event loop counts as running in this thread, so that `asyncio.run` refuses to work.
    """
    path = program()
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright (it need not fetch a browser)"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One open page, everything it asked for, and everything that went wrong in it."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sideways(self) -> int:
        """By how many pixels the page can be scrolled to the right."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression holds, looked at once a frame; Playwright's own way needs `eval`."""
        self.page.evaluate(f"async () => {{ while (!({condition})) await new Promise(requestAnimationFrame) }}")


@contextmanager
def visit(browser: "Browser", address: str, *, width: int = 1280, dark: bool = False) -> Iterator[Visit]:
    """Open an address; at the end, anything said on the console as an error or a warning fails the test."""
    page = browser.new_page(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    page.set_default_timeout(1000 * PATIENT_SECONDS)
    found = Visit(page)
    page.on("request", lambda request: found.requests.append(request.url))
    page.on("requestfailed", lambda request: found.problems.append(f"failed: {request.url[:200]} {request.failure}"))
    page.on("response", lambda answer: _note(found, answer.status >= 400, f"{answer.status}: {answer.url[:200]}"))
    page.on("console", lambda said: _note(found, said.type in ("error", "warning"), f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: found.problems.append(f"uncaught: {error}"))
    page.on("dialog", lambda dialog: (found.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(address)
        yield found
        problems = "; ".join(found.problems)  # not what closing the page cuts off
    finally:
        page.close()
    assert not problems, problems


def _note(found: Visit, wrong: bool, words: str) -> None:
    if wrong:
        found.problems.append(words)
