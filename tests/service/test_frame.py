import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.running import ADA, BOB, InThread, enrol, flac, running, settings_in, state_of
from speaker_id.errors import GalleryError
from speaker_id.service import state
from speaker_id.service.app import create_app
from speaker_id.service.frame import HEADERS
from speaker_id.service.logs import JsonLines
from speaker_id.service.state import State


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/static/app.js"), ("GET", "/static/none"), ("GET", "/health"), ("GET", "/openapi.json"),
     ("GET", "/none"), ("POST", "/health"), ("POST", "/compare"), ("FOO", "/health")],
)  # fmt: skip
def test_every_answer_has_the_security_headers(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers


def test_strict_transport_is_asked_for_under_tls_alone(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        assert "strict-transport-security" in client.get("https://localhost/health").headers


def test_a_service_that_cannot_start_leaves_nothing_running(tmp_path: Path) -> None:
    closed = []

    class Stuck(InThread):
        def wait_ready(self) -> None:
            raise OSError("a decoder did not start")

        def close(self) -> None:
            closed.append(self)

    async def start() -> None:
        app = create_app(settings_in(tmp_path))
        with pytest.raises(OSError, match="did not start"):
            async with app.router.lifespan_context(app):
                pass
        with pytest.raises(GalleryError):
            app.state.speaker_id.gallery.users()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "Decoders", Stuck)
        asyncio.run(start())
    assert len(closed) == 1


def test_an_unforeseen_failure_tells_the_caller_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, raises=False) as client:

        def fail() -> dict[str, int]:
            raise RuntimeError("secret")

        monkeypatch.setattr(state_of(client).gallery, "users", fail)
        answer = client.get("/users")
        assert (answer.status_code, sorted(answer.json())) == (500, ["error", "message"])
        assert "secret" not in answer.text
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert 'route="/users",status="500"' in client.get("/metrics").text


def test_a_stated_body_that_is_too_long_is_refused_unread_with_headers(tmp_path: Path) -> None:
    with running(tmp_path, max_body_mb=0.01) as client:
        answer = client.post("/identify", files={"recording": bytes(20_000)})
        assert (answer.status_code, answer.json()["error"], answer.headers["connection"]) == (413, "TooLarge", "close")
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def asked(folder: Path, receive: Callable[[], Awaitable[dict[str, Any]]]) -> tuple[list[dict[str, Any]], State]:
    """What POST /identify answers to a body that comes as `receive` gives it, and the state afterwards."""
    sent = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> State:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(state, "Decoders", InThread)
            app = create_app(settings_in(folder, max_body_mb=0.01))
            async with app.router.lifespan_context(app):
                await app(scope, receive, send)
            return app.state.speaker_id

    headers = [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {
        "type": "http", "method": "POST", "path": "/identify", "raw_path": b"/identify", "query_string": b"",
        "headers": headers, "scheme": "http", "http_version": "1.1", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }  # fmt: skip
    found = asyncio.run(ask())
    return sent, found


def test_an_unstated_body_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="recording"; filename="r"\r\n\r\n'
    read = [0]

    async def receive() -> dict[str, Any]:
        read[0] += 1
        return {"type": "http.request", "body": head if read[0] == 1 else bytes(1000), "more_body": read[0] < 100}

    sent, _ = asked(tmp_path, receive)
    assert (sent[0]["status"], json.loads(sent[1]["body"])["error"]) == (413, "TooLarge")
    assert read[0] == 12  # the head, and 11 times 1000 bytes against a limit of 10,485


def test_a_caller_who_hangs_up_gives_the_place_back(tmp_path: Path) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    _, found = asked(tmp_path, receive)
    assert found.room.free == found.settings.max_waiting


def test_other_sites_get_nothing_unless_allowed(tmp_path: Path) -> None:
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    with running(tmp_path, origins=("https://app.example",)) as client:
        good = client.options("/users/a/recordings", headers={"Origin": "https://app.example", **preflight})
        bad = client.options("/users/a/recordings", headers={"Origin": "https://evil.example", **preflight})
        assert good.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-origin" not in bad.headers
        assert client.get("/users", headers={"Origin": "https://app.example"}).status_code == 200
    with running(tmp_path) as client:
        closed = client.options("/users/a/recordings", headers={"Origin": "https://app.example", **preflight})
        assert not [name for name in closed.headers if name.startswith("access-control")]


def test_the_log_tells_what_happened_and_of_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    with running(tmp_path, raises=False) as client:
        enrol(client, "Rumpelstilzchen", flac(BOB), consent="by letter")
        score = client.post("/identify", files={"recording": flac(ADA)}).json()["score"]  # no round number
        client.delete("/users/Rumpelstilzchen")
        client.delete("/users/Rumpelstilzchen")
        client.get("/users?after=Rumpelstilzchen")
        client.get("/Rumpelstilzchen")
        client.get("/static/Rumpelstilzchen")
        metrics = client.get("/metrics").text
    ours = [record for record in caplog.records if record.name.startswith("speaker_id")]
    lines = [JsonLines().format(record) for record in ours]
    text = "\n".join([*lines, metrics])
    assert "Rumpelstilzchen" not in text
    assert "letter" not in text
    assert str(score)[:7] not in text
    first = json.loads(next(line for line in lines if '"PUT"' in line))
    assert (first["route"], first["status"], first["message"]) == ("/users/{name}/recordings", 200, "request")


def test_an_exception_is_logged_without_its_message() -> None:
    try:
        raise ValueError("Rumpelstilzchen")
    except ValueError as error:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "failed %s", ("here",), (type(error), error, None))
        record.exc_info = (type(error), error, error.__traceback__)
    line = json.loads(JsonLines().format(record))
    assert (line["exception"], line["message"], line["level"]) == ("ValueError", "failed here", "ERROR")
    assert any("test_frame.py" in place for place in line["at"])
    assert "Rumpelstilzchen" not in json.dumps(line)


def test_metrics_count_and_cannot_be_made_to_grow(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        for path in ("/health", "/health", "/a", "/b", "/users/x/y/z"):
            client.get(path)
        client.request("SPAM1", "/health")
        client.request("SPAM2", "/health")
        text = client.get("/metrics").text
    assert 'speaker_id_requests_total{method="GET",route="/health",status="200"} 2.0' in text
    assert 'method="other",route="/health",status="405"} 2.0' in text
    assert 'route="other",status="404"} 2.0' in text
    assert "SPAM" not in text
    assert 'speaker_id_request_seconds_count{route="/health"} 4.0' in text
