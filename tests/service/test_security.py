from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fastapi.testclient import TestClient

from service.running import bearer, enrol, flac, keys_in, running, state_of
from speaker_id.service.keys import new_key, remove_key


class Guarded(NamedTuple):
    client: TestClient
    tokens: dict[str, str]
    keys: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    tokens = keys_in(folder)
    with running(folder, keys=folder / "keys.json", allow_embed=True, failures_per_minute=10_000) as client:
        yield Guarded(client, tokens, folder / "keys.json")


REQUESTS = {
    "POST /compare": "verify", "POST /identify": "verify", "GET /metrics": "verify", "GET /users": "enrol",
    "PUT /users/Ada/recordings": "enrol", "DELETE /users/Ada": "admin", "POST /embed": "admin",
    "GET /users/Ada": "enrol", "PATCH /users/Ada": "enrol", "POST /users/Ada/restore": "admin", "GET /events": "admin",
}  # fmt: skip
FILES = {"a": flac(), "b": flac(), "recording": flac(), "recordings": flac()}
ORDER = ["verify", "enrol", "admin"]


@pytest.mark.parametrize("request_line", REQUESTS)
def test_a_role_may_do_its_own_and_what_lower_ones_may(guarded: Guarded, request_line: str) -> None:
    method, path = request_line.split()
    enrol(guarded.client, "Ada", flac(), headers=bearer(guarded.tokens["admin"]))
    files = FILES if method in ("POST", "PUT") else None
    assert guarded.client.request(method, path, files=files).status_code == 401
    assert guarded.client.request(method, path, files=files, headers=bearer("sid_wrong")).status_code == 401
    for role in ORDER:
        allowed = ORDER.index(role) >= ORDER.index(REQUESTS[request_line])
        answer = guarded.client.request(method, path, files=files, headers=bearer(guarded.tokens[role]))
        assert answer.status_code in ((200, 404, 422) if allowed else (403,))


def test_every_documented_address_but_health_asks_for_a_key(guarded: Guarded) -> None:
    documented = guarded.client.get("/openapi.json").json()["paths"]
    listed = {f"{method.upper()} {path}" for path, methods in documented.items() for method in methods}
    assert {line.replace("Ada", "{name}") for line in REQUESTS} | {"GET /health"} == listed


def test_the_key_may_come_in_its_own_header(guarded: Guarded) -> None:
    assert guarded.client.get("/users", headers={"X-API-Key": guarded.tokens["enrol"]}).status_code == 200
    assert (
        guarded.client.get("/users", headers={"Authorization": f"Basic {guarded.tokens['enrol']}"}).status_code == 401
    )


def test_keys_come_and_go_while_the_service_runs(guarded: Guarded) -> None:
    token = new_key(guarded.keys, "guest", "enrol")
    assert guarded.client.get("/users", headers=bearer(token)).status_code == 200
    remove_key(guarded.keys, "guest")
    answer = guarded.client.get("/users", headers=bearer(token))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_damaged_key_file_lets_nobody_in(guarded: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    before = guarded.keys.read_text()
    guarded.keys.write_text("damaged")
    answer = guarded.client.get("/users", headers=bearer(guarded.tokens["admin"]))
    assert answer.status_code == 503
    assert "keys.json" not in answer.text
    assert "keys.json" in caplog.text
    guarded.keys.write_text(before)
    assert guarded.client.get("/users", headers=bearer(guarded.tokens["admin"])).status_code == 200


def test_each_key_has_its_own_rate_whatever_the_address(tmp_path: Path) -> None:
    tokens = keys_in(tmp_path)
    with running(tmp_path, keys=tmp_path / "keys.json", requests_per_minute=2) as client:
        now = [0.0]
        state_of(client).clock = lambda: now[0]
        statuses = [client.get("/users", headers=bearer(tokens["enrol"])).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.get("/users", headers=bearer(tokens["enrol"]))
        assert refused.headers["retry-after"] == "30"
        assert client.get("/users", headers=bearer(tokens["admin"])).status_code == 200
        now[0] = 30.0
        assert client.get("/users", headers=bearer(tokens["enrol"])).status_code == 200


def test_guesses_are_slowed_down_without_shutting_out_a_valid_key_of_that_address(tmp_path: Path) -> None:
    tokens = keys_in(tmp_path)
    with running(tmp_path, keys=tmp_path / "keys.json", failures_per_minute=2) as client:
        state_of(client).clock = lambda: 0.0
        guesses = [client.get("/users", headers=bearer(f"sid_{i}")).status_code for i in range(4)]
        assert guesses == [401, 401, 429, 429]
        assert client.get("/users", headers=bearer(tokens["admin"])).status_code == 200


def test_who_may_not_enter_has_no_byte_of_the_body_read(guarded: Guarded) -> None:
    def endless() -> Iterator[bytes]:
        yield b"--x\r\n"
        raise AssertionError("read on")

    answer = guarded.client.post(
        "/compare", content=endless(), headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", ""])
def test_without_keys_no_other_name_reaches_the_service(client: TestClient, host: str) -> None:
    assert client.get("/users", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_without_keys_this_machines_own_names_do(client: TestClient, host: str) -> None:
    assert client.get("/users", headers={"Host": host}).status_code == 200
    assert client.get("/users", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:3000", "null", "http://[::1"])
def test_without_keys_pages_of_other_sites_are_refused(client: TestClient, origin: str) -> None:
    assert client.post("/compare", headers={"Origin": origin}).status_code == 403


def test_a_service_that_is_full_says_when_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, max_waiting=1) as client, state_of(client).room.taken():
        answer = client.get("/users")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/health").status_code == 200
