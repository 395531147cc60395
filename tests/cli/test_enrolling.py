import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

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
     ("--quality", "min_snr_db=nan", "no value"), ("--min-speech", "2", "at least 2 s are needed")],
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
