"""The report as people see it: in a browser, light and dark, on a telephone and on a wide screen."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browser.chromium import visit
from report.planted import HOSTILE, evaluation, tone
from speaker_id.report.page import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
SHAPES = pytest.mark.parametrize(("dark", "width"), [(False, 360), (False, 1440), (True, 360), (True, 1440)])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    paths = {row: tone(folder / f"{row % 4}.wav", hertz=150 + 50 * (row % 4)) for row in range(480)}
    return write_report(evaluation(num_speakers=24, paths=paths, num_draws=20), folder).as_uri()


@SHAPES
def test_the_page_fits_its_window_says_no_error_and_asks_for_nothing(
    browser: "Browser", report: str, dark: bool, width: int
) -> None:
    with visit(browser, report, dark=dark, width=width) as opened:
        assert opened.sideways() <= 0
        assert len(opened.page.locator("svg.chart").all()) >= 6
        assert opened.page.locator("h1").is_visible()
        assert opened.requests == [report]


def test_night_turns_the_paper_dark_and_the_ink_light(browser: "Browser", report: str) -> None:
    def colours(dark: bool) -> list[int]:
        script = """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
            getComputedStyle(document.querySelector('.chart text')).fill].map(c => parseInt(c.match(/\\d+/)[0]))"""
        with visit(browser, report, dark=dark) as opened:
            found: list[int] = opened.page.evaluate(script)
            return found

    (day_paper, day_ink, day_label), (night_paper, night_ink, night_label) = colours(False), colours(True)
    assert day_paper > 200
    assert day_ink < 100
    assert night_paper < 60
    assert night_ink > 180
    assert day_label < night_label


def test_on_paper_it_is_light_and_nothing_is_cut_off(browser: "Browser", report: str) -> None:
    with visit(browser, report, dark=True, width=700) as opened:  # pixels of an A4 sheet between its margins
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert opened.sideways() <= 0
        assert not opened.page.locator("button.play").first.is_visible()


def test_a_button_plays_its_recording_and_another_press_stops_it(browser: "Browser", report: str) -> None:
    with visit(browser, report) as opened:
        button = opened.page.locator("button.play").first
        button.click()
        opened.wait("player.readyState >= 2 && player.currentTime > 0")
        assert opened.page.evaluate("player.duration") == pytest.approx(2, abs=0.2)
        assert "on" in str(button.get_attribute("class"))
        button.click()
        assert opened.page.evaluate("player.paused")


def test_every_sound_of_the_page_can_be_decoded(browser: "Browser", report: str) -> None:
    script = """() => Promise.all(Object.values(data.sounds).map(uri => new Promise((done, fail) => {
        const player = new Audio(uri);
        player.oncanplaythrough = () => done(player.duration);
        player.onerror = () => fail(new Error(player.error.message));
    })))"""
    with visit(browser, report) as opened:
        durations = opened.page.evaluate(script)
    assert len(durations) > 20
    assert all(duration == pytest.approx(2, abs=0.2) for duration in durations)


def test_a_lower_threshold_lets_more_strangers_in(browser: "Browser", report: str) -> None:
    with visit(browser, report) as opened:
        slider, told = opened.page.locator("#explorer"), opened.page.locator("output")
        before, line = told.inner_text(), opened.page.locator("#explored").get_attribute("d")
        slider.fill("0")
        assert told.inner_text() != before
        assert "1000 of 1000 strangers let in, 0 of 1000 true speakers refused" in told.inner_text()
        assert opened.page.locator("#explored").get_attribute("d") != line


def test_what_is_pointed_at_says_what_it_is(browser: "Browser", report: str) -> None:
    with visit(browser, report) as opened:
        mark = opened.page.locator("#map path[data-tip]").first
        mark.scroll_into_view_if_needed()
        opened.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        mark.hover()
        tip = opened.page.locator("#tip")
        assert tip.is_visible()
        assert tip.inner_text() == mark.get_attribute("data-tip")
        assert opened.page.locator("#map .same").count() == 8  # all recordings of that speaker


def test_names_that_look_like_scripts_stay_names(browser: "Browser", tmp_path: Path) -> None:
    rename = {f"speaker{number:03d}": name for number, name in enumerate(HOSTILE)}
    told = evaluation(num_speakers=len(HOSTILE), rename=rename, num_draws=5, noise=2)
    with visit(browser, write_report(told, tmp_path).as_uri()) as opened:
        assert opened.page.evaluate("window.pwned") is None
        assert opened.page.evaluate("document.scripts.length") == 2
        assert opened.page.evaluate("document.querySelectorAll('img, iframe, object').length") == 0
        text = opened.page.locator("#map").inner_text()
        assert all(name in text for name in HOSTILE)
        assert opened.sideways() <= 0


def test_the_page_refuses_every_script_but_its_own(browser: "Browser", report: str) -> None:
    def smuggle() -> object:
        with visit(browser, report) as opened:
            opened.page.evaluate("document.body.appendChild(document.createElement('script')).text = 'pwned = 1'")
            return opened.page.evaluate("window.pwned")

    with pytest.raises(AssertionError, match="Content Security Policy"):
        smuggle()
