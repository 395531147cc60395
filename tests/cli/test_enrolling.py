import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cli.command import run
from speaker_id.cli.frame import os_user
from speaker_id.inference.gallery import SqliteGallery

KEY = "0123456789abcdef" * 4

pytestmark = pytest.mark.usefixtures("desk")


def test_details_are_kept_merged_and_shown() -> None:
    given = ("--consent", "signed form 17", "--metadata", "site=B", "--metadata", "note=a=b", "--expires", "2999-06-01")
    assert run("enrol", "Ada", "ada.wav", *given).exit_code == 0
    assert run("enrol", "Ada", "ada.wav", "--metadata", "site=C").exit_code == 0
    found = json.loads(run("users", "--details", "--json").stdout)["users"]["Ada"]
    expires = datetime.fromisoformat(found["expires"])
    assert expires.astimezone().replace(tzinfo=None) == datetime(2999, 6, 1)
    assert (found["num_recordings"], found["consent"]) == (2, "signed form 17")
    assert found["metadata"] == {"site": "C", "note": "a=b"}
    assert found["enrolled"] <= found["changed"]
    head, times, *lines = run("users", "--details").stdout.splitlines()
    assert head == "     2  Ada"
    assert times.endswith(", until 2999-06-01 00:00")
    assert lines == ["        consent: signed form 17", "        site: C", "        note: a=b"]
    assert run("users").stdout == "     2  Ada\n"


def test_an_expiry_may_be_said_as_so_long_from_now() -> None:
    before = datetime.now(UTC)
    run("enrol", "Ada", "ada.wav", "--expires", "90d")
    with SqliteGallery.open("gallery.db") as gallery:
        kept = gallery.enrolled("Ada")
    assert kept is not None
    assert kept.details.expires is not None
    assert timedelta(0) <= kept.details.expires - before - timedelta(days=90) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--metadata", "site", "KEY=VALUE"), ("--expires", "soon", "a date like"), ("--expires", "2001-01-01", "is over"),
     ("--quality", "loudness=3", "there are: "), ("--quality", "min_snr_db=loud", "must be a number"),
     ("--quality", "min_snr_db=nan", "no value"),
     ("--quality", "second_voice=perhaps", "ignore, remark, refuse"), ("--min-speech", "2", "at least 2 s are needed")],
)  # fmt: skip
def test_what_cannot_be_kept_enrols_nobody(option: str, value: str, said: str) -> None:
    result = run("enrol", "Ada", "ada.wav", option, value)
    assert (result.exit_code, result.stdout) == (3, "")
    assert said in result.stderr
    assert run("users").stdout in ("", "nobody is enrolled in gallery.db\n")


def test_strict_keeps_nothing_where_it_is_doubtful_who_speaks() -> None:
    run("enrol", "Ada", "ada.wav")
    refused = run("enrol", "Eve", "ada.wav", "--strict")
    assert refused.exit_code == 3
    assert "Eve is not enrolled, nothing is kept: Ada is already enrolled" in refused.stderr
    assert run("users").stdout == "     1  Ada\n"
    assert "note: Ada is already enrolled" in run("enrol", "Eve", "ada.wav").stderr


def test_an_encrypted_gallery_asks_every_command_for_its_key(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = desk / "gallery.key"
    key.write_text(KEY)
    assert run("enrol", "Ada", "ada.wav", "--consent", "by letter", "--gallery-key", key).exit_code == 0
    content = b"".join(path.read_bytes() for path in desk.glob("gallery.db*"))
    assert b"Ada" not in content
    assert b"letter" not in content
    commands = (
        ("users",), ("identify", "ada.wav"), ("enrol", "Bob", "bob.wav"), ("export-gallery", "out.safetensors"),
        ("remove", "Ada"),
    )  # fmt: skip
    for command in commands:
        without = run(*command)
        assert (without.exit_code, without.stdout) == (3, "")
        assert "key" in without.stderr
    monkeypatch.setenv("SPEAKER_ID_GALLERY_KEY", "env:HELD_ELSEWHERE")
    monkeypatch.setenv("HELD_ELSEWHERE", KEY)
    for command in commands:
        assert run(*command).exit_code == 0, command
    assert run("users").stdout == "     1  Bob\n"
    wrong = run("users", "--gallery-key", "missing.key")
    assert wrong.exit_code == 3
    assert "cannot read the gallery's key" in wrong.stderr


def test_a_removal_can_be_undone_within_its_grace_time() -> None:
    run("enrol", "Ada", "ada.wav")
    removed = run("remove", "Ada", "--grace", "30d")
    assert removed.exit_code == 0
    until = (datetime.now() + timedelta(days=30)).strftime("%Y-%m-%d")
    assert removed.stdout.startswith(f"removed Ada; `speaker-id gallery restore` undoes it until {until} ")
    assert run("users").stdout == "nobody is enrolled in gallery.db\n"
    assert run("gallery", "restore", "Ada").exit_code == 0
    assert run("users").stdout == "     1  Ada\n"
    answer = json.loads(run("remove", "Ada", "--grace", "1h", "--json").stdout)
    left = datetime.fromisoformat(answer["restorable_until"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    run("remove", "Ada")  # now for good
    assert run("gallery", "restore", "Ada").exit_code == 1
    assert run("remove", "Ada", "--grace", "soon").exit_code == 3


def test_whoever_removes_somebody_is_told_of_the_exports() -> None:
    run("enrol", "Ada", "ada.wav")
    run("export-gallery", "shelf.safetensors")
    text = run("remove", "Ada").stdout
    head, copy = text.splitlines()
    assert head == "removed Ada"
    assert copy.startswith("  may still be in: ")
    assert "shelf.safetensors" in copy


def test_recordings_are_kept_where_that_is_asked_for_and_a_key_given(desk: Path) -> None:
    without = run("enrol", "Ada", "ada.wav", "--keep-recordings")
    assert without.exit_code == 3
    assert "key" in without.stderr
    (desk / "gallery.key").write_text(KEY)
    options = ("--gallery-key", "gallery.key")
    assert run("enrol", "Ada", "ada.wav", "--keep-recordings", *options).exit_code == 0
    assert run("enrol", "Ada", "ada-2.wav", *options).exit_code == 0
    with SqliteGallery.open("gallery.db", key="gallery.key") as gallery:
        first, second = gallery.recordings("Ada")
    assert second is None
    assert first is not None
    kept, given = soundfile.read(io.BytesIO(first))[0], soundfile.read("ada.wav")[0]
    np.testing.assert_allclose(kept, given, atol=2**-15)


def test_the_audit_log_says_who_ran_the_commands() -> None:
    run("enrol", "Ada", "ada.wav")
    run("remove", "Ada")
    with SqliteGallery.open("gallery.db") as gallery:
        found = [(event.action, event.by) for event in gallery.events()]
    assert found == [("erase", os_user()), ("remove", os_user()), ("enrol", os_user())]


def test_a_recording_that_is_none_is_told_before_a_model_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEAKER_ID_MODEL", "no-model")
    for command in (("enrol", "Ada", "no.wav"), ("compare", "ada.wav", "no.wav"), ("identify", "no.wav")):
        result = run(*command)
        assert result.exit_code == 3
        assert result.stderr.startswith("error: no.wav cannot be opened")


def test_the_audit_log_will_hold_who_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert os_user() == "user ada"

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert os_user() == "user 4711"
