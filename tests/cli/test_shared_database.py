"""Command line and service over one gallery in PostgreSQL, whose password stays where it was given."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cli.command import run
from inference.postgres_server import new_url
from service.running import InThread, enrol
from speaker_id.service import state
from speaker_id.service.app import create_app
from speaker_id.service.settings import Settings

SECRET = "correct-horse"


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a gallery that the environment names to every command."""
    found = new_url().replace("ada@", f"ada:{SECRET}@")
    monkeypatch.setenv("SPEAKER_ID_GALLERY", found)
    return found


def test_every_command_works_on_a_database_and_tells_no_password(desk: Path, url: str) -> None:
    for command, code in [
        (("users",), 3), (("enrol", "Ada", "ada.wav", "--consent", "by letter"), 0), (("enrol", "Bob", "bob.wav"), 0),
        (("identify", "ada.wav", "bob.wav"), 0), (("identify", "ada.wav", "--best", "1"), 0),
        (("users", "--details"), 0), (("export-gallery", "out.safetensors"), 0),
        (("remove", "Ada", "--grace", "1h"), 0), (("remove", "Ada"), 0),
        (("remove", "Ada"), 1), (("import", "out.safetensors"), 1), (("import", "out.safetensors", "--dry-run"), 1),
        (("gallery", "info"), 0), (("gallery", "log"), 0),
    ]:  # fmt: skip
        result = run(*command)
        assert result.exit_code == code, (command, result.output)
        assert SECRET not in result.output
    assert run("users").stdout == "     1  Ada\n     1  Bob\n"
    assert not list(desk.glob("*.db*"))


def test_command_line_and_service_share_a_database(
    desk: Path, tiny: Path, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run("enrol", "Ada", "ada.wav", "--consent", "by letter")
    monkeypatch.setattr(state, "Decoders", InThread)
    ada, bob = Path("ada.wav").read_bytes(), Path("bob.wav").read_bytes()
    with TestClient(create_app(Settings(tiny, url)), base_url="http://localhost") as client:
        assert client.post("/identify", files={"recording": ada}).json()["user"] == "Ada"
        assert client.get("/users/Ada").json()["consent"] == "by letter"
        assert enrol(client, "Bob", bob).status_code == 200
        assert run("identify", "bob.wav").stdout.startswith("Bob: accepted")
        run("remove", "Ada")
        assert client.get("/users/Ada").status_code == 404
        actions = [event["action"] for event in client.get("/events").json()["events"]]
        assert actions.count("enrol") == 2
        assert SECRET not in client.get("/openapi.json").text
    assert SECRET not in caplog.text
