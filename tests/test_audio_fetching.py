"""Recordings from the web: nothing unasked, nothing from the own network, nothing endless."""

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from speaker_id import audio
from speaker_id.audio import fetching
from speaker_id.audio.fetching import fetch, is_public
from speaker_id.errors import AudioError

Reply = Callable[[BaseHTTPRequestHandler], None]


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(16000) / 20), 16000, format="WAV")
    return file.getvalue()


def sent(content: bytes, status: int = 200, **headers: str) -> Reply:
    def reply(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return reply


def to(location: str) -> Reply:
    return sent(b"", 302, Location=location)


def trickled(request: BaseHTTPRequestHandler) -> None:
    """A byte now and then, for ever: each of them in time for any timeout of the socket."""
    request.send_response(200)
    request.end_headers()
    for _ in range(400):
        request.wfile.write(b"x")
        time.sleep(0.05)


def never_answered(request: BaseHTTPRequestHandler) -> None:
    time.sleep(20)


REPLIES: dict[str, Reply] = {
    "/a.wav": sent(wav()),
    "/unsized.wav": sent(wav(), Content_Length="nonsense"),
    "/moved.wav": to("/a.wav"),
    "/round.wav": to("/round.wav"),
    "/away.wav": to("ftp://example.org/a.wav"),
    "/inside.wav": to("http://169.254.169.254/latest/meta-data"),
    "/nowhere.wav": sent(b"", 302),
    "/missing.wav": sent(b"", 404),
    "/page.html": sent(b"<html>log in</html>"),
    "/empty.wav": sent(b""),
    "/packed.wav": sent(wav(), Content_Encoding="gzip"),
    "/big.wav": sent(bytes(3 * 2**20)),
    "/unsized-big.wav": sent(bytes(3 * 2**20), Content_Length="nonsense"),
    "/broken.wav": sent(wav(), Content_Length="999999"),
    "/slow.wav": trickled,
    "/silent.wav": never_answered,
}


class Handler(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        with suppress(OSError):  # the other side has gone, as some tests want it to
            REPLIES[self.path.partition("?")[0]](self)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.mark.parametrize("path", ["/a.wav", "/unsized.wav", "/moved.wav", "/a.wav?token=x"])
def test_a_file_arrives_whole(site: str, path: str) -> None:
    assert fetch(site + path, allow_private=True) == wav()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/round.wav", r"redirected more than 5 times"),
        ("/away.wav", r"leads to ftp://example\.org/a\.wav, which is no http"),
        ("/nowhere.wav", r"redirected to nowhere"),
        ("/missing.wav", r"is refused: 404"),
        ("/packed.wav", r"comes packed \(gzip\)"),
        ("/big.wav", r"is over 2 MB"),
        ("/unsized-big.wav", r"is over 2 MB"),
        ("/broken.wav", r"broke off after 32044 of 999999 bytes"),
    ],
)
def test_what_does_not_arrive_says_why(site: str, path: str, message: str) -> None:
    with pytest.raises(AudioError, match=rf"^{site}{path} .*{message}"):
        fetch(site + path, max_bytes=2 * 2**20, allow_private=True)


@pytest.mark.parametrize("path", ["/slow.wav", "/silent.wav"])
def test_the_time_counts_for_the_whole(site: str, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(AudioError, match="did not arrive in time"):
        fetch(site + path, seconds=0.5, allow_private=True)
    assert time.monotonic() - began < 15  # busy machines too; it would be 20


def test_a_body_that_is_too_long_is_not_read_to_its_end(site: str) -> None:
    with pytest.raises(AudioError, match="is over 1 MB"):
        fetch(site + "/big.wav", max_bytes=2**20, allow_private=True)


def test_the_door_leads_to_fetch() -> None:
    assert audio.fetch is fetch


def test_nothing_is_fetched_unasked(site: str) -> None:
    Handler.asked.clear()
    for source in (f"{site}/a.wav?key=secret", Path(f"{site}/a.wav")):
        with pytest.raises(AudioError, match=r"^http://127.* is an address on the web.*allow_urls=True") as caught:
            audio.load(source, 16000)
        assert "secret" not in str(caught.value)
    assert Handler.asked == []


def test_asking_does_not_open_the_own_network(site: str) -> None:
    Handler.asked.clear()
    with pytest.raises(AudioError, match=r"is at 127\.0\.0\.1, in this machine's own network"):
        audio.load(f"{site}/a.wav", 16000, allow_urls=True)
    assert Handler.asked == []


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine's own address pass for one of the internet."""
    monkeypatch.setattr(fetching, "is_public", lambda address: address == "127.0.0.1" or is_public(address))


@pytest.mark.usefixtures("public")
def test_an_address_is_a_recording_for_who_asks(site: str) -> None:
    expected = audio.load(wav(), 8000)
    np.testing.assert_array_equal(audio.load(f"{site}/moved.wav", 8000, allow_urls=True), expected)
    with pytest.raises(AudioError, match=rf"^{site}/page\.html is not audio in a known format"):
        audio.load(f"{site}/page.html?session=1", 8000, allow_urls=True)
    with pytest.raises(AudioError, match=rf"^{site}/empty\.wav is an empty file"):
        audio.load(f"{site}/empty.wav", 8000, allow_urls=True)


@pytest.mark.usefixtures("public")
def test_a_redirect_is_checked_like_the_address_itself(site: str) -> None:
    with pytest.raises(AudioError, match=r"is at 169\.254\.169\.254, in this machine's own network"):
        fetch(f"{site}/inside.wav")


def test_the_address_that_was_checked_is_the_one_connected_to(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves differently the second time: it is not asked for a second time."""
    port = int(site.rsplit(":", 1)[1])
    answers = iter(["93.184.216.34", "127.0.0.1"])
    connected: list[tuple[str, int]] = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address)
        raise ConnectionRefusedError("not from a test")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(AudioError, match=r"^http://rebinding\.example.*cannot be fetched \(not from a test\)"):
        fetch(f"http://rebinding.example:{port}/a.wav")
    assert connected == [("93.184.216.34", port)]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0/", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/",
        "http://169.254.169.254/", "http://100.64.0.1/", "http://[fe80::1]/", "http://[fc00::1]/",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://localhost/",
    ],
)  # fmt: skip
def test_no_way_of_writing_it_leads_to_the_own_network(url: str) -> None:
    with pytest.raises(AudioError, match=r"own network|cannot be fetched"):  # without IPv6 some cannot even be resolved
        fetch(url, seconds=5)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "127.9.9.9", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "::", "ff02::1", "fec0::1",
     "::ffff:10.0.0.1", "::127.0.0.1", "2002:a00:1::", "2001:0:4136:e378:8000:63bf:f5ff:fffe", "64:ff9b::a00:1"],
)  # fmt: skip
def test_all_else_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://ana:secret@example.org/a.wav", "user and password, which are not sent"),
        ("http:///a.wav", "which is no http or https address"),
        ("file:///etc/passwd", "which is no http or https address"),
        ("http://example.org:99999/", "cannot be fetched"),
        ("http://exa mple.org/a.wav", "cannot be fetched"),
        ("http://[::1/a.wav", "is no http or https address"),
        (f"http://{'a' * 70}.org/", "cannot be fetched"),
        ("http://example.org/a\r\nHost: b", "cannot be fetched|is no http"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise ConnectionRefusedError("not from a test")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(AudioError, match=message) as caught:
        fetch(url, seconds=5)
    assert "secret" not in str(caught.value)


def test_messages_show_neither_password_nor_query() -> None:
    assert (
        audio.shown("https://ana:pw@example.org:8443/a/b.wav?X-Signature=abc#d") == "https://example.org:8443/a/b.wav"
    )
    assert audio.shown("https:/example.org/a.wav") == "https://example.org/a.wav"


def test_https_wants_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as site:
        with pytest.raises(AudioError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(f"{site}/a.wav", allow_private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"{site}/moved.wav", allow_private=True) == wav()
        REPLIES["/down.wav"] = to("http://example.org/a.wav?secret")
        with pytest.raises(AudioError, match=r"is redirected from https to http://example\.org/a\.wav;"):
            fetch(f"{site}/down.wav", allow_private=True)


def self_signed(folder: Path) -> tuple[Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, style = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(encoding, style, serialization.NoEncryption()))
    return paths
