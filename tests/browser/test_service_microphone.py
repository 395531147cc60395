"""The service's page and its microphone: a fake one that plays a file, real voices where there are some."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from browser.chromium import Visit, launched
from browser.live_service import serving
from browser.using_the_service import answer, opened
from inference.tiny_model import RATE, voice
from pretrained.published import oracle
from service.running import ADA, settings_in
from speaker_id.pretrained import bundles
from speaker_id.pretrained.catalogue import is_fetched
from speaker_id.service.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

# How much of the waveform's upper part is drawn on; nothing, while there is silence or no recording.
TALL = """() => {
  const picture = document.querySelector("#recording-identify canvas");
  const copy = new OffscreenCanvas(picture.width, Math.floor(picture.height * 0.4)).getContext("2d");
  copy.drawImage(picture, 0, 0);
  const { data } = copy.getImageData(0, 0, copy.canvas.width, copy.canvas.height);
  return data.filter((value, i) => i % 4 === 3 && value > 0).length / copy.canvas.width;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(settings_in(tmp_path_factory.mktemp("service"))) as address:
        yield address


def talking(path: Path) -> AbstractContextManager["Browser"]:
    """A browser whose microphone hears a file, from its beginning each time it is opened, again and again."""
    return launched(
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )  # fmt: skip


def record(found: Visit, box: str, seconds: float) -> None:
    button = found.page.locator(f"#recording-{box} .record")
    button.click()
    found.wait(f"parseFloat(document.querySelector('#recording-{box} .clock').textContent) >= {seconds}")
    button.click()
    found.wait(f"document.querySelector('#recording-{box} .state').matches('.good, .weak')")


def test_recording_shows_meter_clock_and_waveform_while_it_lasts(address: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", voice(ADA, 10), RATE, subtype="PCM_16")
    with talking(tmp_path / "tone.wav") as talked, opened(talked, address) as found:
        page = found.page
        meter, clock = page.locator("#recording-identify meter"), page.locator("#recording-identify .clock")
        assert not meter.is_visible()
        assert page.evaluate(TALL) == 0
        page.click("#recording-identify .record")
        found.wait("parseFloat(document.querySelector('#recording-identify .clock').textContent) > 1")
        assert meter.is_visible()
        assert page.evaluate("document.querySelector('#recording-identify meter').value") > 0.3
        assert page.inner_text("#recording-identify .record") == "Stop"
        assert page.evaluate(TALL) > 0
        page.click("#panel-identify .go")
        assert page.inner_text("#panel-identify .verdict") == "Press Stop first."
        found.wait("parseFloat(document.querySelector('#recording-identify .clock').textContent) > 4")
        page.click("#recording-identify .record")
        found.wait("document.querySelector('#recording-identify .state').matches('.good')")
        assert not meter.is_visible()
        assert not clock.is_visible()
        assert page.evaluate(TALL) > 1
        assert re.fullmatch(r"Sounds good: \d\.\d s\.", page.inner_text("#recording-identify .state"))


def test_leaving_a_task_stops_its_recording(address: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", voice(ADA, 10), RATE, subtype="PCM_16")
    with talking(tmp_path / "tone.wav") as talked, opened(talked, address) as found:
        found.page.click("#recording-identify .record")
        found.wait("parseFloat(document.querySelector('#recording-identify .clock').textContent) > 0.5")
        found.page.click("#tab-compare")
        found.wait("!document.querySelector('.recording')")
        found.page.click("#tab-identify")
        (seconds,) = re.findall(r"(\d+\.\d) s", found.page.inner_text("#recording-identify .state"))
        assert float(seconds) < 20  # all by itself it would stop at 30


# The browser asks whether the page may listen, until `allow()` says yes.
ASKING = """() => {
  const devices = navigator.mediaDevices, listen = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    await new Promise((resolve) => { window.allow = resolve; });
    return (window.given = await listen(wanted));
  };
}"""


def test_whoever_leaves_before_the_microphone_is_allowed_is_not_recorded(address: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", voice(ADA, 10), RATE, subtype="PCM_16")
    with talking(tmp_path / "tone.wav") as talked, opened(talked, address) as found:
        found.page.evaluate(ASKING)
        found.page.click("#recording-identify .record")
        found.wait("window.allow")
        found.page.click("#tab-compare")
        found.page.evaluate("allow()")
        found.wait("window.given && given.getTracks().every((track) => track.readyState === 'ended')")
        assert found.page.locator(".recording").count() == 0
        found.page.click("#tab-identify")
        assert found.page.inner_text("#recording-identify .state").startswith("Press Record")


# Stops the recording and chooses a file in one breath.
STOP_AND_CHOOSE = """() => {
  const box = document.querySelector("#recording-identify"), chosen = new DataTransfer();
  chosen.items.add(new File(["no sound"], "chosen.txt"));
  box.querySelector(".record").click();
  box.querySelector("input").files = chosen.files;
  box.querySelector("input").onchange();
}"""


def test_a_file_that_is_chosen_right_after_a_recording_takes_its_place(address: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", voice(ADA, 10), RATE, subtype="PCM_16")
    with talking(tmp_path / "tone.wav") as talked, opened(talked, address) as found:
        found.page.click("#recording-identify .record")
        found.wait("parseFloat(document.querySelector('#recording-identify .clock').textContent) > 1")
        found.page.evaluate(STOP_AND_CHOOSE)
        state = "document.querySelector('#recording-identify .state')"
        found.wait(f"{state}.matches('.good, .weak') || {state}.textContent.startsWith('chosen.txt')")
        assert found.page.inner_text("#recording-identify .state") == "chosen.txt: the service will read it."


@pytest.fixture(scope="module")
def pretrained_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose model was trained on many voices."""
    name = "dvector-ge2e"
    if not is_fetched(name):
        oracle(name)  # skips where nobody has fetched it
    with serving(Settings(bundles.get(name), tmp_path_factory.mktemp("real") / "gallery.db")) as address:
        yield address


def spoken(speech: Path, speaker: str, path: Path, half: int) -> Path:
    """One half of a speaker's recordings of speechocean, one after another."""
    files = sorted((speech / "speechocean").glob(f"*/{speaker}/*.flac"))
    if len(files) < 4:
        pytest.skip(f"speechocean's speaker {speaker} is not there")
    chosen = files[: len(files) // 2] if half == 0 else files[len(files) // 2 :]
    soundfile.write(path, np.concatenate([soundfile.read(file)[0] for file in chosen]), RATE, subtype="PCM_16")
    return path


def test_by_microphone_a_real_voice_is_enrolled_known_again_and_another_one_refused(
    pretrained_address: str, speech: Path, tmp_path: Path
) -> None:
    ada, later = (spoken(speech, "2799", tmp_path / f"ada{half}.wav", half) for half in (0, 1))
    stranger = spoken(speech, "1362", tmp_path / "stranger.wav", 0)
    with talking(ada) as talked, opened(talked, pretrained_address, "enrol") as found:
        found.page.fill("#name", "Ada")
        record(found, "enrol", 4)
        found.page.check("[name=consent]")
        assert "Ada is enrolled" in answer(found, "enrol").inner_text()
        found.page.click("#tab-identify")
        record(found, "identify", 4)
        assert answer(found, "identify").inner_text().startswith("This is Ada\n")
        for file, verdict in ((later, "This is Ada\n"), (stranger, "None of the people enrolled here\n")):
            found.page.set_input_files("#recording-identify input", file)
            assert answer(found, "identify").inner_text().startswith(verdict)
    with talking(stranger) as talked, opened(talked, pretrained_address) as found:
        record(found, "identify", 4)
        assert answer(found, "identify").inner_text().startswith("None of the people enrolled here\n")
