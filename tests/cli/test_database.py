"""Whole commands with a gallery in PostgreSQL, and the service over it."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cli.command import run
from inference.postgres_server import new_url
from inference.tiny_model import recording, tiny_bundle
from service.running import ADA, BOB, InThread, enrol, flac, settings_in
from speaker_id.inference.galleries import GalleryOptions, open_gallery
from speaker_id.service import state
from speaker_id.service.app import create_app


@pytest.fixture
def url() -> str:
    return new_url()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two recordings of Ada and one of Bob."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(tiny_bundle(tmp_path / "bundle")))
    for name, pitch in (("ada-1.wav", ADA), ("ada-2.wav", ADA + 1), ("bob.wav", BOB)):
        recording(tmp_path / name, pitch)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_enrol_identify_users_and_remove(url: str) -> None:
    secret = url.replace("ada@", "ada:hush@")  # the server trusts everybody on its socket
    result = run("enrol", "Ada", "ada-1.wav", "ada-2.wav", "--gallery", secret)
    shown = "postgresql://ada@/postgres?gallery=" + url.partition("gallery=")[2]
    assert (result.exit_code, result.stdout) == (0, f"enrolled Ada: 2 added, 2 kept in {shown}\n")
    assert run("enrol", "Bob", "bob.wav", "--gallery", secret).exit_code == 0
    assert run("identify", "ada-1.wav", "--gallery", url).stdout.startswith("Ada: accepted")
    found = json.loads(run("identify", "bob.wav", "--gallery", f"{url}&connections=1", "--json").stdout)
    assert found["user"] == "Bob"
    assert json.loads(run("users", "--gallery", url, "--json").stdout) == {"users": {"Ada": 2, "Bob": 1}}
    assert run("remove", "Ada", "--gallery", url).exit_code == 0
    assert run("remove", "Ada", "--gallery", secret).stdout == f"nobody called Ada is enrolled in {shown}\n"
    assert run("users", "--gallery", url).stdout == "     1  Bob\n"


@pytest.mark.usefixtures("folder")
def test_asking_does_not_create_a_gallery_and_mistakes_are_one_line(url: str) -> None:
    for command in (["identify", "bob.wav"], ["users"], ["remove", "Ada"]):
        result = run(*command, "--gallery", url)
        assert result.exit_code == 3
        assert result.stderr.startswith("error: there is no gallery at postgresql://ada@/postgres?gallery=")
    result = run("users", "--gallery", "postgresql://ana:hush@127.0.0.1:1/voices")
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "hush" not in result.stderr


@pytest.mark.usefixtures("folder")
def test_users_move_between_a_file_and_a_database_and_back(url: str) -> None:
    run("enrol", "Ada", "ada-1.wav", "ada-2.wav")
    run("enrol", "Bob", "bob.wav")
    for here, there, file in (("gallery.db", url, "1.safetensors"), (url, "back.db", "2.safetensors")):
        assert run("export-gallery", file, "--gallery", here).exit_code == 0
        assert run("import", file, "--gallery", there).exit_code == 0
    galleries = [open_gallery(place) for place in ("gallery.db", url, "back.db")]
    queries = galleries[0].embeddings("Ada")
    first, *others = [(gallery.users(), gallery.search_many(queries)) for gallery in galleries]
    assert first[0] == {"Ada": 2, "Bob": 1}
    assert others == [first, first]
    for gallery in galleries:
        gallery.close()


@pytest.mark.usefixtures("folder")
def test_keys_undo_log_and_copies_are_those_of_a_file(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEAKER_ID_GALLERY", url)
    monkeypatch.setenv("KEY", bytes(32).hex())
    monkeypatch.setenv("SPEAKER_ID_GALLERY_KEY", "env:KEY")
    assert run("enrol", "Ada", "ada-1.wav", "--keep-recordings", "--consent", "form 17").exit_code == 0
    assert run("users", "--gallery-key", "env:NO_KEY").exit_code == 3
    assert run("gallery", "note-copy", "tape 7").exit_code == 0
    assert run("remove", "Ada", "--grace", "1h").exit_code == 0
    assert json.loads(run("users", "--json").stdout)["users"] == {}
    assert run("gallery", "restore", "Ada").stdout == "restored Ada\n"
    monkeypatch.setenv("NEW", bytes(range(32)).hex())
    assert run("gallery", "rotate-key", "--old", "env:KEY", "--new", "env:NEW").exit_code == 0
    assert "is not the key" in run("users").stderr
    monkeypatch.setenv("SPEAKER_ID_GALLERY_KEY", "env:NEW")
    assert run("identify", "ada-1.wav").stdout.startswith("Ada: accepted")
    assert "tape 7" in run("gallery", "list-copies").stdout
    actions = [event["action"] for event in json.loads(run("gallery", "log", "--json").stdout)["events"]]
    assert actions == ["rotate key", "restore", "remove", "copy", "enrol"]
    assert run("gallery", "backup", "copy.db").exit_code == 3
    with closing(open_gallery(url, options=GalleryOptions(key="env:NEW"))) as gallery:
        [recorded] = gallery.recordings("Ada")
    assert recorded is not None
    assert recorded.startswith(b"fLaC")


def test_the_service_keeps_its_users_in_a_database(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "Decoders", InThread)
    app = create_app(replace(settings_in(tmp_path), gallery=url))
    with TestClient(app, base_url="http://localhost") as client:
        assert enrol(client, "Ada", flac(ADA), flac(ADA + 1)).status_code == 200
        assert enrol(client, "Bob", flac(BOB)).status_code == 200
        assert [user["user"] for user in client.get("/users").json()["users"]] == ["Ada", "Bob"]
        found = client.post("/identify", files={"recording": flac(ADA)}).json()
        assert found["user"] == "Ada"
        with closing(open_gallery(url)) as elsewhere:
            elsewhere.remove("Ada")
        assert client.post("/identify", files={"recording": flac(ADA)}).json()["user"] != "Ada"
        assert client.delete("/users/Bob").status_code in {200, 204}
    assert list(tmp_path.glob("*.db*")) == []
