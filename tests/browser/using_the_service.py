"""What people do on the service's page."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from browser.chromium import Visit, visit
from service.running import flac

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Buttons that are too narrow for what they say.
CUT = """() => [...document.querySelectorAll("button")].filter((button) =>
  button.checkVisibility() && button.scrollWidth > button.clientWidth).map((button) => button.innerText)"""

# Text whose contrast with what lies behind it is below WCAG's AA: 4.5 : 1.
FAINT = """() => {
  const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 0, 0];
  };
  return [...document.querySelectorAll("body *")].filter((node) =>
    node.checkVisibility() && !node.disabled &&
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
  ).filter((node) => {
    const [a, b] = [light(numbers(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05) < 4.5;
  }).map((node) => node.outerHTML.slice(0, 80));
}"""


@contextmanager
def opened(browser: "Browser", address: str, tab: str = "identify", **shape: Any) -> Iterator[Visit]:
    with visit(browser, address, **shape) as found:
        if tab != "identify":
            found.page.click(f"#tab-{tab}")
        yield found
        outside = [asked for asked in found.requests if not asked.startswith((address, f"blob:{address}", "data:"))]
        assert not outside


def upload(name: str, content: bytes) -> Any:
    return {"name": name, "mimeType": "audio/flac", "buffer": content}


def give(found: Visit, box: str, pitch: float, seconds: float = 3.5, name: str = "voice.flac") -> None:
    found.page.set_input_files(f"#recording-{box} input", upload(name, flac(pitch, seconds)))
    found.wait(f"document.querySelector('#recording-{box} .state').matches('.good, .weak')")


def answer(found: Visit, panel: str, *, press: bool = True) -> Any:
    """What a panel says once it is no longer busy; `press` its button first."""
    if press:
        found.page.click(f"#panel-{panel} .go")
    found.wait(f"document.querySelector('#panel-{panel}').ariaBusy === 'false'")
    return found.page.locator(f"#panel-{panel} .answer .card")


def enrolled(found: Visit, user: str, pitch: float) -> None:
    found.page.click("#tab-enrol")
    found.page.fill("#name", user)
    give(found, "enrol", pitch)
    found.page.check("[name=consent]")
    assert "yes" in answer(found, "enrol").get_attribute("class")


def forgive(found: Visit, status: int) -> None:
    """That an answer was a refusal is seen in the browser's console, too; it must be there to be forgiven."""
    told = [problem for problem in found.problems if str(status) in problem]
    assert told
    found.problems[:] = [problem for problem in found.problems if problem not in told]
