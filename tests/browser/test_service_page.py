"""The service's page as people use it: by mouse, by keyboard alone, in two languages, by day and by night."""

import io
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import soundfile

from browser.live_service import serving
from browser.using_the_service import CUT, FAINT, answer, enrolled, forgive, give, opened, upload
from inference.tiny_model import RATE, voice
from service.running import ADA, BOB, flac, keys_in, settings_in
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.inference.gallery import SqliteGallery

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow
TABS = ("identify", "compare", "enrol", "users")
HOSTILE = "<img src=x onerror=alert(1)>/../%2e ?#&" + "long" * 20


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(settings_in(tmp_path_factory.mktemp("service"))) as address:
        yield address


@pytest.fixture(autouse=True)
def nobody_enrolled(address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        for one in client.get("users").json()["users"]:
            client.delete(f"users/{httpx.URL('').copy_with(path='/' + one['user']).raw_path.decode()[1:]}")


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_a_voice_is_enrolled_known_again_told_from_another_listed_and_erased(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        page = found.page
        enrolled(found, "Ada", ADA)
        assert page.locator("#panel-enrol .answer").inner_text().startswith("Ada is enrolled")
        page.click("#tab-identify")
        give(found, "identify", ADA)
        said = answer(found, "identify").inner_text()
        assert said.startswith("This is Ada\n")
        assert "Score 1.000 reaches the threshold 0.980." in said
        assert re.search(r"Probability that it is one person: 99\.\d+\s% \(if it was 50\s% before listening\)", said)
        give(found, "identify", BOB)
        assert answer(found, "identify").inner_text().startswith("None of the people enrolled here\n")
        page.click("#tab-users")
        answer(found, "users", press=False)
        assert page.locator("#user-list li").all_inner_texts()[0].startswith("Ada\nRecordings: 1")
        page.click("#user-list button")
        page.click("#confirm button[value=no]")
        assert page.locator("#user-list li").count() == 1
        page.click("#user-list button")
        page.click("#confirm button[value=yes]")
        found.wait("document.querySelector('#panel-users .card.yes')")
        assert page.locator("#panel-users .answer").inner_text() == "Ada is erased"
        assert page.locator("#user-list li").count() == 0


def test_two_recordings_are_compared(browser: "Browser", address: str) -> None:
    with opened(browser, address, "compare") as found:
        give(found, "a", ADA)
        give(found, "b", BOB)
        assert answer(found, "compare").inner_text().startswith("Not accepted as the same person\n\nScore")
        give(found, "b", ADA)
        assert answer(found, "compare").inner_text().startswith("The same person\n\nScore 1.000")


def test_an_answer_goes_away_with_the_recording_that_it_is_about(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        give(found, "identify", ADA)
        assert answer(found, "identify").count() == 1
        give(found, "identify", BOB)
        assert found.page.inner_text("#panel-identify .answer") == ""
        found.page.click("#panel-identify .go")
        found.wait("document.querySelector('#panel-identify .card')")
        found.page.click("#recording-identify .clear")
        assert found.page.inner_text("#panel-identify .answer") == ""
        assert found.page.locator(":focus").inner_text() == "Record"


def test_what_is_missing_is_told_and_gets_the_focus(browser: "Browser", address: str) -> None:
    with opened(browser, address, "enrol") as found:
        said, focused = found.page.locator("#panel-enrol .verdict"), found.page.locator(":focus")
        found.page.click("#panel-enrol .go")
        assert (said.inner_text(), focused.get_attribute("id")) == ("A name is missing.", "name")
        found.page.fill("#name", "Ada")
        found.page.click("#panel-enrol .go")
        assert (said.inner_text(), focused.inner_text()) == ("A recording is missing.", "Record")
        give(found, "enrol", ADA)
        found.page.click("#panel-enrol .go")
        assert focused.get_attribute("name") == "consent"
        assert not [asked for asked in found.requests if "recordings" in asked]


def test_a_name_that_looks_like_a_script_stays_a_name_and_can_be_erased(browser: "Browser", address: str) -> None:
    with opened(browser, address, width=360) as found:
        enrolled(found, HOSTILE, ADA)
        found.page.click("#tab-identify")
        give(found, "identify", ADA)
        assert answer(found, "identify").locator(".verdict").inner_text() == f"This is {HOSTILE}"
        assert found.sideways() <= 0
        found.page.click("#tab-users")
        answer(found, "users", press=False)
        assert found.page.locator("#user-list bdi").inner_text() == HOSTILE
        assert found.sideways() <= 0
        found.page.click("#user-list button")
        found.page.click("#confirm button[value=yes]")
        found.wait("document.querySelector('#panel-users .card.yes')")
        assert found.page.locator("main img").count() == 0


@pytest.mark.parametrize(
    ("samples", "headline"),
    [(voice(ADA, 0.2), "The recording is too short"), (np.zeros(4 * RATE), "The recording is silent")],
)
def test_what_the_service_refuses_is_told_in_words(
    browser: "Browser", address: str, samples: Any, headline: str
) -> None:
    content = io.BytesIO()
    soundfile.write(content, samples, RATE, format="FLAC")
    with opened(browser, address) as found:
        found.page.set_input_files("#recording-identify input", upload("x.flac", content.getvalue()))
        card = answer(found, "identify")
        assert card.locator(".verdict").inner_text() == headline
        assert card.locator(".detail").inner_text().startswith("the recording is")
        forgive(found, 422)


def test_a_file_that_is_no_sound_is_the_services_to_refuse(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        found.page.set_input_files("#recording-identify input", upload("notes.txt", b"no sound at all"))
        assert answer(found, "identify").locator(".verdict").inner_text() == "The recording cannot be used"
        assert "notes.txt" in found.page.locator("#recording-identify .state").inner_text()
        forgive(found, 422)


def test_a_service_with_keys_asks_for_one_and_takes_it(browser: "Browser", tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    with serving(settings_in(tmp_path, keys=tmp_path / "keys.json")) as address, opened(browser, address) as found:
        assert not found.page.locator("#key").is_visible()
        found.page.click("#tab-users")
        assert (
            answer(found, "users", press=False).inner_text().startswith("The service needs a valid API key\n\nPut your")
        )
        found.page.fill("#key", "密钥")
        found.page.click("#tab-users")
        assert "valid API key" in answer(found, "users", press=False).inner_text()
        found.page.fill("#key", keys["verify"])
        found.page.click("#tab-users")
        assert answer(found, "users", press=False).inner_text().startswith("This is not allowed")
        found.page.fill("#key", f" {keys['enrol']} ")
        found.page.click("#tab-users")
        assert answer(found, "users", press=False).inner_text() == "Nobody is enrolled yet."
        forgive(found, 401)
        forgive(found, 403)


def test_a_service_that_is_gone_is_told(browser: "Browser", tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as address:
        page = browser.new_page()
        page.goto(address)
    page.click("#tab-users")
    page.wait_for_selector("#panel-users .card")
    assert page.inner_text("#panel-users .card").startswith("The service does not answer.")
    page.close()


def test_a_microphone_that_is_not_given_is_told_with_another_way(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        found.page.click("#recording-identify .record")
        found.wait("document.querySelector('#recording-identify .state').matches('.weak')")
        assert re.fullmatch(r".*microphone.* or choose a file\.", found.page.inner_text("#recording-identify .state"))


def test_an_answer_in_error_is_said_in_the_language_of_now(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        found.page.set_input_files("#recording-identify input", upload("notes.txt", b"no sound at all"))
        said = answer(found, "identify").locator(".verdict")
        assert said.inner_text() == "The recording cannot be used"
        found.page.select_option("#language", "zh")
        assert said.inner_text() == "无法使用这段录音"
        forgive(found, 422)


# --- users: doubts, details, undo -------------------------------------------------------------------------------------


def test_doubts_about_who_speaks_are_shown_after_enrolling(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        enrolled(found, "Ada", ADA)
        enrolled(found, "Eve", ADA)
        warned = found.page.locator("#panel-enrol .warnings")
        assert warned.locator("p").inner_text() == "Please look at this:"
        assert warned.locator("li").first.inner_text().startswith("Ada is already enrolled and as alike")
        assert warned.locator("ul").get_attribute("lang") == "en"
        found.page.select_option("#language", "zh")
        assert warned.locator("p").inner_text() == "请留意："
        assert found.sideways() <= 0


def test_details_are_shown_where_they_are_asked_for(browser: "Browser", address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as client:
        fields = {"consent": "signed <b>form</b> 17", "metadata": '{"site": "B"}'}
        client.put("users/Ada/recordings", files={"recordings": flac(ADA)}, data=fields)
        client.put("users/Bob/recordings", files={"recordings": flac(BOB)})
    with opened(browser, address, width=360) as found:
        page = found.page
        page.click("#tab-users")
        answer(found, "users", press=False)
        assert not [asked for asked in found.requests if asked.endswith("users/Ada")]
        page.locator("#user-list summary").first.focus()
        page.keyboard.press("Enter")
        found.wait("document.querySelector('#user-list dl')")
        pairs = page.locator("#user-list dl").inner_text().splitlines()
        assert pairs[:4] == ["Consent", "signed <b>form</b> 17", "site", "B"]
        assert found.sideways() <= 0
        page.select_option("#language", "zh")
        assert page.locator("#user-list dt").first.inner_text() == "同意说明"
        assert page.locator("#user-list dl").count() == 1
        page.locator("#user-list summary").last.click()
        found.wait("document.querySelectorAll('#user-list dl').length === 2")
        assert "没有记录" in page.locator("#user-list dl").last.inner_text()
        with httpx.Client(base_url=address, trust_env=False) as client:
            client.delete("users/Bob")
        page.locator("#user-list summary").last.click()
        page.locator("#user-list summary").last.click()
        found.wait(
            "document.querySelector('#user-list li:last-child [role=status]').innerText.includes('没有这个用户')"
        )
        forgive(found, 404)


def test_a_removal_is_undone_while_the_service_allows_it(browser: "Browser", tmp_path: Path) -> None:
    settings = settings_in(tmp_path, gallery_options=GalleryOptions(grace=timedelta(days=30)))
    with serving(settings) as address, opened(browser, address) as found:
        page = found.page
        enrolled(found, "Ada", ADA)
        page.click("#tab-users")
        answer(found, "users", press=False)
        page.click("#user-list button")
        assert "can be undone" in page.inner_text("#confirm-text")
        assert page.inner_text("#confirm [value=yes]") == "Remove"
        page.click("#confirm [value=yes]")
        said = page.locator("#panel-users .answer")
        found.wait("document.querySelector('#panel-users .undo')")
        assert said.inner_text().startswith("Ada is removed\n\nUntil ")
        assert page.locator("#user-list li").count() == 0
        assert page.locator(".undo").get_attribute("aria-label") == "Bring Ada back"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('.undo')")
        page.keyboard.press("Enter")
        found.wait("document.querySelector('#user-list li')")
        assert answer(found, "users", press=False).inner_text() == "Ada is back"
        assert page.locator("#user-list bdi").inner_text() == "Ada"


def test_whoever_agrees_is_told_where_the_sound_is_kept_too(browser: "Browser", tmp_path: Path) -> None:
    options = GalleryOptions(key=bytes(range(32)), keep_recordings=True)
    with serving(settings_in(tmp_path, gallery_options=options)) as address:
        with opened(browser, address, "enrol") as found:
            label = found.page.locator("#panel-enrol .check")
            found.wait("document.querySelector('[data-word=consentSound]')")
            assert label.inner_text() == "This person agrees that a voiceprint and the recordings are stored here."
            found.page.select_option("#language", "zh")
            assert label.inner_text() == "此人同意在这里保存其声纹和录音。"
            found.page.select_option("#language", "en")
            enrolled(found, "Ada", ADA)
            assert "The recordings are stored too, encrypted." in found.page.inner_text("#panel-enrol .answer")
        with httpx.Client(base_url=address, trust_env=False) as client:
            assert "a voiceprint and the recordings" in client.get("users/Ada").json()["consent"]


def test_whoever_removes_somebody_is_told_of_copies(browser: "Browser", tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as address, opened(browser, address) as found:
        enrolled(found, "Ada", ADA)
        with SqliteGallery.open(tmp_path / "gallery.db") as gallery:
            gallery.record_copy("a backup on the shelf")
        found.page.click("#tab-users")
        answer(found, "users", press=False)
        found.page.click("#user-list button")
        found.page.click("#confirm [value=yes]")
        found.wait("document.querySelector('#panel-users .warnings')")
        assert "a backup on the shelf (" in found.page.inner_text("#panel-users .warnings li")


# --- everybody --------------------------------------------------------------------------------------------------------


def test_the_page_and_its_answers_change_language_and_remember_it(browser: "Browser", address: str) -> None:
    with opened(browser, address, "compare") as found:
        page = found.page
        give(found, "a", ADA)
        give(found, "b", ADA)
        answer(found, "compare")
        english = page.inner_text("body")
        page.select_option("#language", "zh")
        assert page.evaluate("document.documentElement.lang") == "zh"
        assert page.title() == "谁在说话？"
        assert page.inner_text("#panel-compare .verdict") == "同一个人"
        said = re.sub(r"English|API|voice\.flac", "", page.inner_text("body"))
        assert not re.search(r"[A-Za-z]{3,}", said)
        page.reload()
        assert page.evaluate("document.documentElement.lang") == "zh"
        page.select_option("#language", "en")
        assert page.title() == "Who is speaking?"
        assert set(page.inner_text("#tab-users, footer").split()) <= set(english.split())


def test_every_task_is_done_by_keyboard_alone_with_the_focus_in_sight(browser: "Browser", address: str) -> None:
    with opened(browser, address) as found:
        page = found.page
        press = page.keyboard.press

        def tab_to(selector: str) -> None:
            for _ in range(30):
                press("Tab")
                if page.evaluate("s => document.activeElement.matches(s)", selector):
                    style = "getComputedStyle(document.activeElement)"
                    assert page.evaluate(f"{style}.outlineStyle !== 'none' && parseInt({style}.outlineWidth) >= 2")
                    return
            pytest.fail(f"{selector} is not reached by Tab")

        tab_to(".skip")
        tab_to("#language")
        tab_to("[role=tab][aria-selected=true]")
        for _ in range(2):
            press("ArrowRight")
        assert page.locator("#panel-enrol").is_visible()
        tab_to("#name")
        page.keyboard.type("Ada")
        tab_to("#recording-enrol .record")
        with page.expect_file_chooser() as chosen:
            tab_to("#recording-enrol .choose")
            press("Enter")
        chosen.value.set_files([upload("ada.flac", flac(ADA, 3.5))])
        tab_to("[name=consent]")
        press("Space")
        tab_to("#panel-enrol .go")
        press("Enter")
        assert "Ada is enrolled" in answer(found, "enrol", press=False).inner_text()
        page.focus("#tab-enrol")
        press("End")
        answer(found, "users", press=False)
        tab_to("#user-list button")
        press("Enter")
        assert page.evaluate("document.activeElement.value") == "no"  # the harmless answer is first
        press("Escape")
        assert page.evaluate("document.querySelector('#confirm').returnValue") != "yes"
        assert page.locator("#user-list li").count() == 1
        assert page.evaluate("document.activeElement.matches('#user-list button')")
        press("Enter")
        tab_to("#confirm [value=yes]")
        press("Enter")
        found.wait("document.querySelector('#panel-users .card.yes')")
        assert page.evaluate("document.activeElement.id") == "panel-users"
        page.focus("#tab-users")
        press("ArrowRight")
        assert page.locator("#panel-identify").is_visible()


@pytest.mark.parametrize("tab", TABS)
def test_everything_that_can_be_used_has_a_name_of_its_own(browser: "Browser", address: str, tab: str) -> None:
    with opened(browser, address) as found:
        enrolled(found, "Ada", ADA)
        enrolled(found, "Bob", BOB)
        found.page.click(f"#tab-{tab}")
        if tab == "users":
            answer(found, "users", press=False)
        session = found.page.context.new_cdp_session(found.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        used = {"button", "checkbox", "textbox", "combobox", "tab", "group", "tabpanel", "tablist", "status", "meter"}
        named = [(node["role"]["value"], node["name"]["value"]) for node in nodes
                 if not node["ignored"] and node["role"]["value"] in used - {"status"}]  # fmt: skip
        assert {"tab", "tablist", "tabpanel", "combobox"} <= {role for role, _ in named}
        assert all(name.strip() for role, name in named if role != "group" or "recording" in name.lower()), named
        if tab == "users":
            assert ("button", "Remove Ada") in named
            assert ("button", "Remove Bob") in named
        if tab == "compare":
            assert ("group", "First recording") in named
            assert ("group", "Second recording") in named
        assert found.page.locator(f"#panel-{tab} .answer[role=status]").count() == 1


@pytest.mark.parametrize(("dark", "width"), [(False, 360), (False, 1440), (True, 360), (True, 1440)])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_fits_its_window_and_every_text_stands_out(
    browser: "Browser", address: str, dark: bool, width: int, language: str
) -> None:
    with opened(browser, address, dark=dark, width=width) as found:
        enrolled(found, "Ada", ADA)
        found.page.select_option("#language", language)
        found.page.click("#key-box summary")
        for tab in TABS:
            found.page.click(f"#tab-{tab}")
            if tab == "users":
                answer(found, "users", press=False)
            for box in found.page.locator(f"#panel-{tab} .recorder").all():
                give(found, str(box.get_attribute("id")).removeprefix("recording-"), ADA)
            if tab in ("identify", "compare"):
                answer(found, tab)
            assert found.sideways() <= 0
            assert not found.page.evaluate(FAINT)
            assert not found.page.evaluate(CUT)
