import json
import math

import pytest

from cli.command import run
from inference.tiny_model import POINT, tiny_bundle
from speaker_id.contracts import OperatingPoint

pytestmark = pytest.mark.usefixtures("desk")


@pytest.fixture
def enrolled(desk: object) -> None:
    run("enrol", "Ada", "ada.wav")
    run("enrol", "Bob", "bob.wav")


@pytest.mark.usefixtures("enrolled")
def test_several_recordings_get_a_line_each() -> None:
    found = run("identify", "ada.wav", "bob.wav", "bob-long.wav", "--threshold", "0.5")
    assert found.exit_code == 0
    assert found.stdout == "ada.wav: Ada: accepted\nbob.wav: Bob: accepted\nbob-long.wav: Bob: accepted\n"
    some = run("identify", "ada.wav", "ada-2.wav", "--threshold", "0.99999")
    assert some.exit_code == 1
    first, second = some.stdout.splitlines()
    assert first == "ada.wav: Ada: accepted"
    assert second.startswith("ada-2.wav: nobody: best score ")


@pytest.mark.usefixtures("enrolled")
def test_several_recordings_are_one_list_in_json_and_answer_as_each_alone() -> None:
    listed = json.loads(run("identify", "ada.wav", "bob.wav", "--json").stdout)
    alone = [json.loads(run("identify", file, "--json").stdout) for file in ("ada.wav", "bob.wav")]
    assert [one.pop("file") for one in listed] == ["ada.wav", "bob.wav"]
    for one, other in zip(listed, alone, strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-5)
        assert one.pop("margin") == pytest.approx(other.pop("margin"), abs=1e-5)
        assert [match["user"] for match in one.pop("candidates")] == [
            match["user"] for match in other.pop("candidates")
        ]
        assert one == other


@pytest.mark.usefixtures("enrolled")
def test_one_recording_that_cannot_be_used_does_not_keep_the_others_from_their_answers() -> None:
    found = run("identify", "ada.wav", "missing.wav", "bob.wav")
    assert found.exit_code == 3
    lines = found.stdout.splitlines()
    assert (lines[0], lines[2]) == ("ada.wav: Ada: accepted", "bob.wav: Bob: accepted")
    assert lines[1].startswith("missing.wav: error: missing.wav cannot be opened")
    listed = json.loads(run("identify", "ada.wav", "missing.wav", "--json").stdout)
    assert listed[0]["user"] == "Ada"
    assert (listed[1]["file"], listed[1]["type"]) == ("missing.wav", "AudioError")


@pytest.mark.usefixtures("enrolled")
def test_more_recordings_than_fit_into_memory_at_once_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.cli.recognising.AT_ONCE", 2)
    files = ["ada.wav", "bob.wav", "missing.wav", "ada.wav", "bob.wav"]
    lines = run("identify", *files).stdout.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["Ada", "Bob", "error", "Ada", "Bob"]


@pytest.mark.usefixtures("enrolled")
def test_a_margin_may_be_asked_for() -> None:
    margin = json.loads(run("identify", "ada.wav", "--json").stdout)["margin"]
    assert run("identify", "ada.wav", "--min-margin", margin - 1e-4).exit_code == 0
    close = run("identify", "ada.wav", "--min-margin", margin + 1e-4)
    assert close.exit_code == 1
    assert close.stdout.startswith("nobody: two users are too close: Ada ")
    assert run("identify", "ada.wav", "--min-margin", 3).exit_code == 3


def test_the_number_of_users_moves_the_threshold_as_asked_for(
    desk: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a false-accept rate by log(2 users) / llr_scale = log(2) / 5."""
    point = OperatingPoint(0.5, "by hand", llr_scale=5.0, llr_offset=-1.0)
    model = tiny_bundle(tmp_path_factory.mktemp("calibrated"), operating_point=point)
    for name in ("Ada", "Bob"):
        run("enrol", name, f"{name.lower()}.wav", "--model", model)

    def threshold(*options: str) -> float:
        found: float = json.loads(run("identify", "ada.wav", "--model", model, "--json", *options).stdout)["threshold"]
        return found

    assert threshold() == 0.5
    assert threshold("--gallery-size-rule") == pytest.approx(0.5 + math.log(2) / 5)
    assert threshold("--no-gallery-size-rule") == 0.5
    assert run("identify", "ada.wav", "--gallery-size-rule").exit_code == 3  # that model is not calibrated
    assert POINT.llr_scale is None


def test_a_user_may_be_scored_by_the_best_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    run("enrol", "Ada", "ada.wav", "bob.wav")

    def score(*options: object) -> float:
        return float(json.loads(run("identify", "ada.wav", "--json", *options).stdout)["score"])

    assert score("--best", 1) == pytest.approx(1.0, abs=1e-6)
    assert score("--best", 2) < score() < 0.9999
    monkeypatch.setenv("SPEAKER_ID_BEST", "1")
    assert score() == pytest.approx(1.0, abs=1e-6)
    assert run("identify", "ada.wav", "--best", "0").exit_code == 2


def test_poor_recordings_are_refused_where_that_is_asked_for() -> None:
    short = run("compare", "ada.wav", "bob-long.wav", "--min-speech", "2")
    assert short.exit_code == 3
    assert "ada.wav holds " in short.stderr
    assert run("compare", "bob-long.wav", "bob-long.wav", "--min-speech", "2").exit_code == 0
    narrow = run("compare", "ada.wav", "ada.wav", "--quality", "min_band_hz=7000")
    assert "up to 7000 Hz are needed" in narrow.stderr
    run("enrol", "Ada", "ada.wav")
    assert run("identify", "ada.wav", "--quality", "min_seconds=1.5").exit_code == 3
