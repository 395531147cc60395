import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

import speaker_id
from containers import KINDS, encode
from inference.tiny_model import POINT, RATE, recording, tiny_bundle
from speaker_id import audio
from speaker_id.cli import app
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.inference.gallery import SqliteGallery

COMMANDS = [
    "compare", "enrol", "identify", "remove", "users", "serve", "compare-runs", "demo", "keys", "pretrained",
    "keys add", "keys remove", "keys list", "pretrained list", "pretrained get",
    "import", "export-gallery", "record", "interactive",
    "gallery", "gallery info", "gallery log", "gallery restore", "gallery backup", "gallery note-copy",
    "gallery list-copies", "gallery rotate-key", "gallery reembed",
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with three recordings; the model is given by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(bundle))
    recording(tmp_path / "ada.wav", 90)
    recording(tmp_path / "ada-2.wav", 91)
    recording(tmp_path / "bob.wav", 260)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_compare_answers_in_words_and_by_exit_code(folder: Path) -> None:
    same = run("compare", folder / "ada.wav", folder / "ada.wav")
    assert same.exit_code == 0
    assert same.stdout == f"same speaker: score 1.0000 >= threshold 0.9000 (uncalibrated: {POINT.source})\n"
    different = run("compare", folder / "ada.wav", folder / "bob.wav", "--threshold", "0.99999")
    assert different.exit_code == 1
    assert different.stdout.startswith("not accepted as the same speaker: score ")
    assert different.stdout.endswith("< threshold 1.0000 (uncalibrated: given when the recognizer was loaded)\n")


def test_what_a_phone_and_a_browser_recorded_is_compared(folder: Path) -> None:
    samples = audio.load(folder / "ada.wav", 48000)
    (folder / "phone.m4a").write_bytes(encode(KINDS["mp4, video"], samples))
    (folder / "browser.webm").write_bytes(encode(KINDS["webm, live"], samples))
    same = run("compare", folder / "phone.m4a", folder / "browser.webm", "--threshold", "0.9")
    assert (same.exit_code, same.stdout.split(":")[0]) == (0, "same speaker")
    (folder / "cut.m4a").write_bytes((folder / "phone.m4a").read_bytes()[:-99])
    cut = run("compare", folder / "cut.m4a", folder / "browser.webm")
    assert (cut.exit_code, cut.stdout) == (3, "")
    assert "cut.m4a is truncated: 99 bytes are missing" in cut.stderr


def test_compare_as_json_carries_the_same_answer(folder: Path) -> None:
    result = run("compare", folder / "ada.wav", folder / "ada.wav", "--json", "--threshold", "0")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer.pop("score") == pytest.approx(1.0, abs=1e-6)
    first, second = answer.pop("quality")
    assert first == second
    assert first["seconds"] == 1.0
    assert answer == {
        "llr": None,
        "probability": None,
        "prior": 0.5,
        "calibrated": False,
        "threshold": 0.0,
        "accepted": True,
        "reason": "score 1.0000 >= threshold 0.0000",
        "threshold_source": "uncalibrated: given when the recognizer was loaded",
    }


def test_a_calibrated_model_also_says_what_the_score_is_worth(folder: Path) -> None:
    """llr = 5 * 1 - 1; e^4 = 54.598 to 1 at even odds, 54.598 to 999 where one comer in a thousand is right."""
    point = OperatingPoint(0.9, "calibrated by hand", llr_scale=5.0, llr_offset=-1.0)
    model = tiny_bundle(folder / "calibrated", operating_point=point)
    same = run("compare", "ada.wav", "ada.wav", "--model", model)
    assert same.stdout.splitlines() == [
        "same speaker: score 1.0000 >= threshold 0.9000 (calibrated by hand)",
        "  llr 4.00, probability 98.2 % at a prior of 0.5",
    ]
    rare = run("compare", "ada.wav", "ada.wav", "--model", model, "--prior", "0.001")
    assert rare.stdout.splitlines()[1] == "  llr 4.00, probability 5.2 % at a prior of 0.001"
    run("enrol", "Ada", "ada.wav", "--model", model)
    found = run("identify", "ada.wav", "--model", model)
    assert found.stdout.splitlines() == [
        "Ada: accepted (threshold 0.9000: calibrated by hand)",
        "  llr 4.00, probability 98.2 % at a prior of 0.5",
        "   1.0000  Ada",
    ]
    answer = json.loads(run("identify", "ada.wav", "--model", model, "--prior", "0.1", "--json").stdout)
    assert (answer["calibrated"], answer["prior"]) == (True, 0.1)
    assert answer["llr"] == pytest.approx(4.0, abs=1e-5)
    assert answer["probability"] == pytest.approx(54.598 / (54.598 + 9), abs=1e-5)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("offset", "shown"), [(20.0, "over 99.9 %"), (-20.0, "under 0.1 %"), (-5.0, "50.0 %")])
def test_no_probability_is_shown_as_certainty(tmp_path: Path, offset: float, shown: str) -> None:
    point = OperatingPoint(0.9, "by hand", llr_scale=5.0, llr_offset=offset)
    model = tiny_bundle(tmp_path / "calibrated", operating_point=point)
    assert f"probability {shown} at a prior" in run("compare", "ada.wav", "ada.wav", "--model", model).stdout


def scores_file(run_folder: Path, scores: FloatArray) -> Path:
    """An evaluation of all pairs of 12 speakers' two recordings, as it writes them down."""
    run_folder.mkdir()
    speakers = [number // 2 for number in range(24)]
    lines = ["enrol\ttest\tscore\tlabel\tenrol_speaker\ttest_speaker"]
    for score, (a, b) in zip(scores, itertools.combinations(range(24), 2), strict=True):
        label = "target" if speakers[a] == speakers[b] else "nontarget"
        lines.append(f"{a}.wav\t{b}.wav\t{score:.9g}\t{label}\ts{speakers[a]}\ts{speakers[b]}")
    (run_folder / "scores.tsv").write_text("\n".join(lines) + "\n")
    return run_folder


def test_two_evaluations_are_compared_in_words_and_by_exit_code(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    same = np.array([a // 2 == b // 2 for a, b in itertools.combinations(range(24), 2)])
    noise = rng.normal(size=same.size).astype(np.float32)
    poor, good = scores_file(tmp_path / "poor", noise + same), scores_file(tmp_path / "good", noise + 9 * same)
    real = run("compare-runs", poor, good, "--draws", "100")
    assert real.exit_code == 0
    assert real.stdout.startswith(f"A = {poor}\nB = {good}\nB's EER is ")
    assert "the difference is real, B is better" in real.stdout
    chance = run("compare-runs", poor, poor, "--draws", "100", "--json")
    assert chance.exit_code == 1
    answer = json.loads(chance.stdout)
    assert answer["a"] == answer["b"] == str(poor)
    assert answer["differences"]["eer"]["difference"] == 0
    assert answer["differences"]["eer"]["significant"] is False
    assert answer["figures_a"]["eer"] == answer["figures_b"]["eer"]
    assert len(answer["sentences"]) >= 2
    missing = run("compare-runs", poor, tmp_path / "nothing")
    assert (missing.exit_code, missing.stdout) == (3, "")
    assert missing.stderr.startswith("error: ")


@pytest.mark.usefixtures("folder")
def test_a_user_is_enrolled_identified_listed_and_removed() -> None:
    enrolled = run("enrol", "Ada", "ada.wav", "ada-2.wav")
    assert enrolled.stdout == "enrolled Ada: 2 added, 2 kept in gallery.db\n"
    assert "note: recording 2: little speech: 1.0 s without the pauses\n" in enrolled.stderr
    assert run("enrol", "Bob", "bob.wav").exit_code == 0
    found = run("identify", "ada.wav")
    assert found.exit_code == 0
    first, *candidates = found.stdout.splitlines()
    assert first == f"Ada: accepted (threshold 0.9000: uncalibrated: {POINT.source})"
    assert [line.split()[1] for line in candidates] == ["Ada", "Bob"]
    assert run("users").stdout == "     2  Ada\n     1  Bob\n"
    assert run("remove", "Ada").stdout == "removed Ada\n"
    assert run("users").stdout == "     1  Bob\n"
    again = run("remove", "Ada")
    assert (again.exit_code, again.stdout) == (1, "nobody called Ada is enrolled in gallery.db\n")


def test_json_answers_of_the_gallery_commands(folder: Path) -> None:
    enrolled = run("enrol", "Ada", "ada.wav", "--json", "--gallery", "voices.db")
    kept = json.loads(enrolled.stdout)
    assert all(warning.startswith("recording 1: ") for warning in kept.pop("warnings"))
    assert kept == {"user": "Ada", "num_recordings_added": 1, "num_recordings": 1}
    found = run("identify", "ada.wav", "--json", "--gallery", "voices.db")
    answer = json.loads(found.stdout)
    score = answer["score"]
    assert score == pytest.approx(1.0, abs=1e-6)
    assert answer.pop("quality")["seconds"] == 1.0
    assert answer == {
        "user": "Ada",
        "score": score,
        "llr": None,
        "probability": None,
        "prior": 0.5,
        "calibrated": False,
        "threshold": 0.9,
        "margin": None,
        "candidates": [{"user": "Ada", "score": score}],
        "reason": "accepted",
        "threshold_source": f"uncalibrated: {POINT.source}",
    }
    assert json.loads(run("users", "--json", "--gallery", "voices.db").stdout) == {"users": {"Ada": 1}}
    removed = run("remove", "Ada", "--json", "--gallery", "voices.db")
    answer = json.loads(removed.stdout)
    assert answer == {"user": "Ada", "removed": True, "restorable_until": None, "copies": []}
    assert json.loads(run("users", "--json", "--gallery", "voices.db").stdout) == {"users": {}}
    assert run("users", "--gallery", "voices.db").stdout == "nobody is enrolled in voices.db\n"
    assert not (folder / "gallery.db").exists()


@pytest.mark.usefixtures("folder")
def test_nobody_is_exit_code_1() -> None:
    run("enrol", "Ada", "ada.wav")
    stranger = run("identify", "bob.wav", "--threshold", "0.9999999")
    assert stranger.exit_code == 1
    assert stranger.stdout.startswith("nobody: best score ")
    run("remove", "Ada")
    empty = run("identify", "bob.wav", "--json")
    assert empty.exit_code == 1
    assert json.loads(empty.stdout)["reason"] == "nobody is enrolled"


def test_the_gallery_can_be_given_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEAKER_ID_GALLERY", str(folder / "elsewhere.db"))
    run("enrol", "Ada", "ada.wav")
    with SqliteGallery.open(folder / "elsewhere.db") as gallery:
        assert gallery.users() == {"Ada": 1}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["../../x", "👩‍🚀", "two\nlines", "\x1b[31mred", " ", "n" * 100_000], ids=range(6))
def test_names_of_any_kind_are_shown_on_one_line_and_kept_exactly(name: str) -> None:
    enrolled = run("enrol", name, "ada.wav")
    assert enrolled.exit_code == 0
    listing = run("users").stdout
    assert listing.count("\n") == 1
    assert len(listing) < 100
    assert "\x1b" not in listing
    assert json.loads(run("users", "--json").stdout) == {"users": {name: 1}}
    assert run("remove", name).exit_code == 0


def test_an_error_of_ours_is_one_line_and_exit_code_3(folder: Path) -> None:
    soundfile.write(folder / "short.wav", np.ones(100, np.float32), RATE)
    for arguments, part in [
        (("compare", "ada.wav", "missing.wav"), "missing.wav"),
        (("compare", "ada.wav", "https://example.org/a.wav?key=1"), "https://example.org/a.wav is an address"),
        (("enrol", "Ada", "http://localhost:1/a.wav"), "--allow-urls"),
        (("compare", "ada.wav", "http://127.0.0.1:1/a.wav", "--allow-urls"), "is at 127.0.0.1, in this machine's own"),
        (("compare", "ada.wav", "short.wav"), "short.wav is 0.006 s long"),
        (("identify", "ada.wav"), "there is no gallery"),
        (("users",), "there is no gallery"),
        (("remove", "Ada"), "there is no gallery"),
        (("enrol", "", "ada.wav"), "needs a name"),
        (("compare", "ada.wav", "bob.wav", "--model", "no-model"), "no-model"),
        (("compare", "ada.wav", "bob.wav", "--threshold", "nan"), "must lie between -1 and 1"),
        (("compare", "ada.wav", "bob.wav", "--threshold", "80"), "must lie between -1 and 1"),
        (("compare", "ada.wav", "bob.wav", "--prior", "1"), "prior is 1.0"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 3, arguments
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert part in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("folder")
def test_an_error_as_json_goes_to_stdout() -> None:
    result = run("compare", "ada.wav", "missing.wav", "--json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert answer["type"] == "AudioError"
    assert "missing.wav" in answer["error"]
    assert set(answer) == {"error", "type"}


def test_asking_creates_no_gallery(folder: Path) -> None:
    run("identify", "ada.wav")
    run("users")
    assert not list(folder.glob("*.db*"))


@pytest.mark.usefixtures("folder")
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    run("enrol", "Ada", "ada.wav")
    monkeypatch.setattr(SqliteGallery, "users", broken)
    assert isinstance(run("users").exception, ZeroDivisionError)


@pytest.mark.usefixtures("folder")
def test_wrong_usage_is_exit_code_2() -> None:
    assert run("compare", "ada.wav").exit_code == 2
    assert run("enrol", "Ada").exit_code == 2
    assert run("identify", "ada.wav", "--limit", "0").exit_code == 2
    assert run("unheard-of").exit_code == 2


def test_without_a_model_the_command_that_fetches_one_is_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPEAKER_ID_MODEL")
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(folder / "cache"))
    for command in (["compare", "ada.wav", "bob.wav"], ["enrol", "Ada", "ada.wav"], ["identify", "ada.wav"]):
        result = run(*command)
        assert result.exit_code == 3
        assert "`speaker-id pretrained get campplus-zh-en`" in result.stderr
    listing = json.loads(run("pretrained", "list", "--json").stdout)
    assert listing == {"models": {"campplus-zh-en": False, "dvector-ge2e": False}}


def test_a_key_is_shown_once_listed_without_its_token_and_taken_back(folder: Path) -> None:
    token = run("keys", "add", "front-door", "verify").stdout.strip()
    assert token.startswith("sid_")
    assert token not in (folder / "keys.json").read_text(encoding="utf-8")
    assert run("keys", "list").stdout == "verify  front-door\n"
    assert run("keys", "add", "front-door", "admin").exit_code == 3  # the name is taken
    assert run("keys", "add", "other", "root").exit_code == 2  # no such role
    assert run("keys", "remove", "front-door").exit_code == 0
    assert run("keys", "list").stdout == "nobody has a key in keys.json\n"
    assert json.loads(run("keys", "list", "--json").stdout) == {"keys": []}


@pytest.mark.usefixtures("folder")
def test_a_name_may_begin_with_a_dash() -> None:
    assert run("enrol", "--", "--json", "ada.wav").exit_code == 0
    assert run("users").stdout == "     1  --json\n"


@pytest.mark.usefixtures("folder")
def test_comparing_evaluations_needs_no_torch() -> None:
    code = (
        "import sys, speaker_id.cli as cli; sys.argv = ['x', 'compare-runs', 'a', 'b']\n"
        "try: cli.main()\n"
        "finally: print('torch' in sys.modules, 'speaker_id.report.comparison' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "False True\n")


def test_every_help_fits_a_terminal_and_shows_an_example() -> None:
    for arguments in ([], *(command.split() for command in COMMANDS)):
        result = run(*arguments, "--help")
        assert result.exit_code == 0
        assert "Example:" in result.stdout or arguments in (["keys"], ["pretrained"], ["gallery"])
        assert max(len(line) for line in result.stdout.splitlines()) <= 80
    overview = run("--help").stdout
    assert all(f"\n  {command} " in overview for command in COMMANDS if " " not in command)
    assert not [line for line in overview.split("Commands:")[1].splitlines() if line.endswith("...")]
    assert "Exit codes:" in overview


def test_the_version_is_the_packages() -> None:
    assert run("--version").stdout == f"speaker-id {speaker_id.__version__}\n"


@pytest.mark.usefixtures("folder")
def test_the_module_is_the_command_and_needs_no_torch_to_list_users() -> None:
    run("enrol", "Ada", "ada.wav")
    code = (
        "import sys, runpy; sys.argv = ['x', 'users']\n"
        "try: runpy.run_module('speaker_id', run_name='__main__')\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "     1  Ada\nFalse\n"
    command = [sys.executable, "-m", "speaker_id"]
    done = subprocess.run([*command, "remove", "Bob"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    done = subprocess.run([*command, "users", "--gallery", "no"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: there is no gallery at ")
