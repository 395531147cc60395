"""The service as a process of its own, as operators run it."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from inference.tiny_model import RATE, tiny_bundle
from service.certificates import self_signed
from service.running import POINT, bearer, flac, settings_in
from speaker_id.errors import ConfigError
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.service.keys import new_key
from speaker_id.service.run import serve

START_SECONDS = 180  # on a busy machine


class Served(NamedTuple):
    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    client: httpx.Client

    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def served(folder: Path, *options: str, certificate: Path | None = None) -> Iterator[Served]:
    """With `certificate` the client asks by https, and trusts that one alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tiny_bundle(folder / "bundle", operating_point=POINT)
    token = new_key(folder / "keys.json", "tester", "admin")
    given = {"--model": folder / "bundle", "--gallery": folder / "g.db", "--keys": folder / "keys.json", "--port": port}
    command = [sys.executable, "-m", "speaker_id", "serve", *[str(word) for pair in given.items() for word in pair]]
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *options], stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    try:
        scheme, trusted = (
            ("http", True) if certificate is None else ("https", ssl.create_default_context(cafile=certificate))
        )
        with httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{port}", headers=bearer(token), timeout=120, verify=trusted
        ) as client:
            wait_for(client, process, folder)
            yield Served(port, process, folder, client)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.get("/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError((folder / "log").read_text())


def sent(port: int, request: bytes) -> bytes:
    """The beginning of the answer to bytes as they are, which no client would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.slow
def test_a_served_service(tmp_path: Path) -> None:
    with served(tmp_path) as service:
        _names_arrive_as_they_were_sent(service)
        _long_bodies_are_refused_before_they_come(service)
        _a_stream_is_answered(service)
        _nothing_is_lost_at_the_end(service)


def _names_arrive_as_they_were_sent(service: Served) -> None:
    for name, path in (("..", "%2E%2E"), ("a%2Fb", "a%252Fb"), ("a/b", "a%2Fb"), ("a\nb", "a%0Ab")):
        files = {"recordings": flac()}
        body = service.client.build_request("PUT", "/", files=files)
        content = body.read()
        head = (
            f"PUT /users/{path}/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: {body.headers['content-type']}\r\n"
            f"Authorization: {service.client.headers['authorization']}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        answer = sent(service.port, head.encode() + content)
        assert b" 200 " in answer.splitlines()[0], answer
        assert name in [user["user"] for user in service.client.get("/users").json()["users"]]


def _long_bodies_are_refused_before_they_come(service: Served) -> None:
    key = f"Host: x\r\nAuthorization: {service.client.headers['authorization']}\r\n"
    form = "Content-Type: multipart/form-data; boundary=x\r\n"
    head = f"POST /identify HTTP/1.1\r\n{key}{form}"
    stated = sent(service.port, f"{head}Content-Length: 999999999999\r\n\r\n--x".encode())
    assert stated.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in stated.lower()
    assert b"server:" not in stated.lower()
    part = b"--x\r\nContent-Disposition: form-data; name=recording; filename=r\r\n\r\n"
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in [part, *[bytes(2**20)] * 21])
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)  # and no end
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def _a_stream_is_answered(service: Served) -> None:
    address = f"ws://127.0.0.1:{service.port}/stream"
    with pytest.raises(InvalidStatus), connect(address):
        pass
    with connect(address, additional_headers={"Authorization": service.client.headers["authorization"]}) as stream:
        assert json.loads(stream.recv()) == {"sample_rate": RATE}
        stream.send(bytes(2 * RATE))
        assert json.loads(stream.recv())["error"] == "NoSpeech"


def _nothing_is_lost_at_the_end(service: Served) -> None:
    """Told to stop as a group while enrolments run: what was acknowledged is in the gallery, and what is not may be."""
    acknowledged: list[str] = []

    def enrol_on(who: int) -> None:
        with httpx.Client(base_url=service.client.base_url, headers=service.client.headers, timeout=120) as client:
            for number in range(10_000):
                name = f"secret-{who}-{number}"
                try:
                    answer = client.put(f"/users/{name}/recordings", files={"recordings": flac()})
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    acknowledged.append(name)

    threads = [threading.Thread(target=enrol_on, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 8:
        time.sleep(0.01)
    os.killpg(service.process.pid, signal.SIGTERM)  # as systemd does
    for thread in threads:
        thread.join()
    assert service.process.wait(60) in (0, -signal.SIGTERM)
    assert not list((service.folder / "temporary").iterdir())
    with SqliteGallery.open(service.folder / "g.db") as gallery:
        assert set(acknowledged) <= set(gallery.users())
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*[set(line) for line in lines])
    assert "secret-" not in service.log()
    assert {line["level"] for line in lines} == {"INFO"}
    assert {line["caller"] for line in lines if line.get("status") == 200 and line["route"] != "/health"} == {"tester"}


@pytest.mark.nightly
def test_several_processes_share_gallery_and_counters(tmp_path: Path) -> None:
    with served(tmp_path, "--workers", "2") as service:
        for number in range(20):
            headers = {**service.client.headers, "Connection": "close"}
            assert httpx.get(f"{service.client.base_url}/users?limit={number + 1}", headers=headers).status_code == 200
        text = service.client.get("/metrics").text
        assert 'speaker_id_requests_total{method="GET",route="/users",status="200"} 20.0' in text
        service.process.terminate()
        assert service.process.wait(60) in (0, -signal.SIGTERM)
        assert not list((service.folder / "temporary").iterdir())


def test_strangers_are_not_let_in_without_keys(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigError, match="--keys"):
            serve(settings_in(tmp_path), host=host)


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both"):
        serve(settings_in(tmp_path), certificate=tmp_path / "cert.pem")


@pytest.mark.slow
def test_over_tls_a_client_that_trusts_the_certificate_is_answered_and_no_other(tmp_path: Path) -> None:
    certificate, private_key = self_signed(tmp_path)
    options = ("--certificate", str(certificate), "--private-key", str(private_key))
    with served(tmp_path, *options, certificate=certificate) as service:
        files = {"recordings": flac()}
        assert service.client.put("/users/Ada/recordings", files=files).status_code == 200
        assert service.client.get("/health").headers["strict-transport-security"]
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"https://127.0.0.1:{service.port}/health")
        trusting = ssl.create_default_context(cafile=certificate)
        with connect(
            f"wss://127.0.0.1:{service.port}/stream",
            ssl=trusting,
            additional_headers={"Authorization": service.client.headers["authorization"]},
        ) as stream:
            assert json.loads(stream.recv()) == {"sample_rate": RATE}
        with (
            socket.create_connection(("127.0.0.1", service.port)) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            assert wrapped.version() == "TLSv1.3"
        assert not sent(service.port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_what_cannot_be_opened_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys add"):
        serve(settings_in(tmp_path, keys=tmp_path / "none.json"))
    tiny_bundle(tmp_path / "pointless", operating_point=None)
    settings = settings_in(tmp_path)
    with pytest.raises(ConfigError, match="no operating point"):
        serve(type(settings)(tmp_path / "pointless", tmp_path / "g.db"))


@pytest.mark.parametrize(
    "wrong", [{"max_seconds": 0}, {"max_body_mb": -1}, {"decode_seconds": float("nan")}, {"prior": 1.0},
              {"origins": ("*",)}, {"origins": ("app.example",)}],
)  # fmt: skip
def test_settings_that_protect_nothing_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong)).rstrip("s")):
        settings_in(tmp_path, **wrong)
