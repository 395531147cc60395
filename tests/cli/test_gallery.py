"""`speaker-id gallery ...`, as an operator uses it."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cli.command import run
from inference.tiny_model import RATE, recording, tiny_bundle, voice
from speaker_id.contracts import UserDetails
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.kept_recordings import as_flac

X, Y, Z = np.eye(3, dtype=np.float32)
LAST_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    with SqliteGallery.open("gallery.db", fingerprint="f" * 64, dim=3) as gallery:
        gallery.enrol("Ada", np.stack([X, Y]), by="front door")
        gallery.enrol("Bob\n", Z[None])
    return tmp_path


def as_json(*arguments: object, code: int = 0) -> dict:
    result = run("gallery", *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("folder")
def test_info_counts_and_names_the_model() -> None:
    found = as_json("info")
    assert datetime.fromisoformat(found.pop("changed")).utcoffset() is not None
    assert found == {
        "gallery": "gallery.db", "model": "f" * 64, "dim": 3, "encrypted": False, "num_users": 2, "num_recordings": 3,
        "num_copies": 0,
    }  # fmt: skip
    lines = run("gallery", "info").stdout.splitlines()
    assert lines[:3] == [
        "2 users with 3 recordings in gallery.db",
        "  model ffffffffffff, 3 numbers a recording",
        "  not encrypted, 0 copies known",
    ]
    assert lines[3].endswith(": enrol")


@pytest.mark.usefixtures("folder")
def test_the_log_tells_of_a_name_that_is_gone_and_names_nobody() -> None:
    run("remove", "Ada")
    actions = [event["action"] for event in as_json("log")["events"]]
    assert actions == ["erase", "remove", "enrol", "enrol"]
    of_ada = as_json("log", "--user", "Ada")["events"]
    assert [(event["action"], event["num_recordings"], event["by"]) for event in of_ada] == [
        ("erase", 2, "user root"), ("remove", 2, "user root"), ("enrol", 2, "front door"),
    ]  # fmt: skip
    assert len(as_json("log", "--limit", 1)["events"]) == 1
    lines = run("gallery", "log").stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[2:] == f"erase 2 recordings of user {of_ada[0]['user_tag'][:12]} by user root".split()
    assert not any("Ada" in line or "Bob" in line for line in lines)
    assert run("gallery", "log", "--user", "Eve").stdout == "nothing is logged\n"


@pytest.mark.usefixtures("folder")
def test_a_removal_with_a_grace_time_can_be_undone() -> None:
    assert run("remove", "Ada", "--grace", "30d").exit_code == 0
    assert as_json("info")["num_users"] == 1
    assert as_json("restore", "Ada") == {"user": "Ada", "restored": True}
    again = run("gallery", "restore", "Ada")
    assert again.exit_code == 1
    assert again.stdout.startswith("Ada cannot be restored: nobody of that name was removed")
    with SqliteGallery.open("gallery.db") as gallery:
        np.testing.assert_array_equal(gallery.embeddings("Ada"), [X, Y])


def test_a_backup_is_a_gallery_and_whoever_removes_somebody_hears_of_it(folder: Path) -> None:
    done = run("gallery", "backup", "copy.db")
    assert (done.exit_code, done.stdout) == (0, "copied gallery.db to copy.db\n")
    assert (folder / "copy.db").stat().st_mode & 0o077 == 0
    assert as_json("info", "--gallery", "copy.db")["num_users"] == 2
    assert run("gallery", "note-copy", "tape 7").exit_code == 0
    descriptions = [copy["description"] for copy in as_json("list-copies")["copies"]]
    assert descriptions == ["tape 7", f"backup {folder / 'copy.db'}"]
    lines = run("gallery", "list-copies").stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == descriptions
    removed = run("remove", "Ada").stdout
    assert "may still be in: tape 7" in removed
    assert f"may still be in: backup {folder / 'copy.db'}" in removed
    refused = run("gallery", "backup", "copy.db")
    assert refused.exit_code == 3
    assert "exists already" in refused.stderr
    assert run("gallery", "backup", "copy.db", "--force").exit_code == 0
    assert as_json("info", "--gallery", "copy.db")["num_users"] == 1


def test_an_export_is_noted_too(folder: Path) -> None:
    assert as_json("list-copies") == {"copies": []}
    assert run("gallery", "list-copies").stdout == "no copy is known\n"
    assert run("export-gallery", "voices.safetensors").exit_code == 0
    [copy] = as_json("list-copies")["copies"]
    assert copy["description"] == f"export {folder / 'voices.safetensors'}"


def test_a_key_is_set_changed_and_taken_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first.key", "second.key"):
        (folder / name).write_text((name.encode() * 4)[:32].hex())
    assert run("gallery", "rotate-key", "--new", "first.key").stdout == "gallery.db is encrypted with the new key\n"
    assert b"Ada" not in (folder / "gallery.db").read_bytes()
    refused = run("gallery", "info")
    assert refused.exit_code == 3
    assert "is encrypted: give its key" in refused.stderr
    assert as_json("rotate-key", "--old", "first.key", "--new", "second.key") == {
        "gallery": "gallery.db", "encrypted": True,
    }  # fmt: skip
    assert as_json("info", "--gallery-key", "first.key", code=3)["error"].startswith("this is not the key")
    monkeypatch.setenv("SPEAKER_ID_GALLERY_KEY", "second.key")
    assert as_json("info")["encrypted"] is True
    assert as_json("log")["events"][0]["action"] == "rotate key"
    for wrong in ([], ["--new", "first.key", "--decrypt"]):
        assert "either" in as_json("rotate-key", "--old", "second.key", *wrong, code=3)["error"]
    assert run("gallery", "rotate-key", "--old", "second.key", "--decrypt").exit_code == 0
    monkeypatch.delenv("SPEAKER_ID_GALLERY_KEY")
    assert as_json("info")["num_recordings"] == 3


@pytest.mark.parametrize("command", [["info"], ["log"], ["restore", "Ada"], ["list-copies"], ["backup", "x.db"]])
def test_a_gallery_that_is_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no gallery" in as_json(*command, code=3)["error"]
    assert list(tmp_path.iterdir()) == []


def test_users_move_to_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tiny_bundle(tmp_path / "bundle")
    (tmp_path / "key").write_bytes(bytes(range(32)))
    secret = {"key": "key", "keep_recordings": True}
    details = UserDetails({"department": "B"}, "signed")
    with SqliteGallery.open("gallery.db", fingerprint="f" * 64, dim=3, **secret) as gallery:
        files = [as_flac(voice(100), RATE), as_flac(voice(110), RATE)]
        gallery.enrol("Ada", np.stack([X, Y]), details=details, recordings=files, enrolled=LAST_YEAR)
        gallery.enrol("Bob", X[None])
        gallery.enrol("Cyd", X[None])
    (tmp_path / "audio_db").mkdir()
    recording(tmp_path / "audio_db" / "Bob.wav", 250)
    command = ["reembed", "new.db", "--model", model, "--gallery-key", "key", "--keep-recordings"]
    first = as_json(*command, code=1)
    assert first["num_missing"] == 2
    reasons = {user["user"]: user["reasons"] for user in first["users"]}
    assert reasons["Bob"] == ["no recordings were kept"]
    second = run("gallery", *command, "--recordings", "audio_db")
    assert second.exit_code == 1
    assert [line.split()[:1] + line.split()[-1:] for line in second.stdout.splitlines()[:3]] == [
        ["already", "Ada"], ["imported", "Bob"], ["refused", "Cyd"],
    ]  # fmt: skip
    assert second.stdout.splitlines()[-1] == "2 of 3 users are in new.db"
    with SqliteGallery.open("new.db", key="key") as gallery:
        assert gallery.users() == {"Ada": 2, "Bob": 1}
        ada = gallery.enrolled("Ada")
        assert ada is not None
        assert (ada.enrolled, ada.details) == (LAST_YEAR, details)
        assert gallery.recordings("Ada") == files
        assert soundfile.info(io.BytesIO(gallery.recordings("Bob")[0] or b"")).samplerate == RATE
    assert "the old one" in as_json("reembed", "gallery.db", "--model", model, code=3)["error"]


def test_recordings_are_exported_only_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_GALLERY_KEY", "key")
    (tmp_path / "key").write_bytes(bytes(range(32)))
    with SqliteGallery.open("gallery.db", fingerprint="f", dim=3, key="key", keep_recordings=True) as gallery:
        gallery.enrol("Ada", X[None], recordings=[b"a file of sound"])
    assert run("export-gallery", "without").exit_code == 0
    assert run("export-gallery", "with", "--with-recordings").exit_code == 0
    assert b"a file of sound" not in (tmp_path / "without").read_bytes()
    for arguments, kept in ((["with"], [None]), (["with", "--keep-recordings"], [b"a file of sound"])):
        (tmp_path / "new.db").unlink(missing_ok=True)
        assert run("import", *arguments, "--gallery", "new.db").exit_code == 0
        with SqliteGallery.open("new.db", key="key") as gallery:
            assert gallery.recordings("Ada") == kept
            assert [event.action for event in gallery.events()] == ["import"]
