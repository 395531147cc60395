"""Recordings from the web, only for who asks: http and https, bounded in bytes and seconds, public addresses only.

Who may name an address can make this machine ask others on its behalf, itself and its neighbours among them. So each
host is resolved here, and the very address that passed the check is connected to, anew at every redirect.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

from speaker_id import __version__
from speaker_id.audio.addresses import shown
from speaker_id.errors import AudioError

MAX_BYTES = 50 * 2**20  # an hour of mp3, ten minutes of wav
SECONDS = 30.0
MAX_REDIRECTS = 5

_REDIRECTS = {301, 302, 303, 307, 308}
_BLOCK = 1 << 16
_NAT64 = IPv6Network("64:ff9b::/96")  # its last 32 bits are an IPv4 address
_SITE_LOCAL = IPv6Network("fec0::/10")


def fetch(url: str, *, max_bytes: int = MAX_BYTES, seconds: float = SECONDS, allow_private: bool = False) -> bytes:
    """The content of a file on the web, as bytes for `load`.

    `seconds` counts for all of it, redirects included, but not for a slow resolver of names. `allow_private` also takes
    it from this machine and its own network. Proxies that the environment names are not used. Raises AudioError for
    whatever keeps it from arriving whole.
    """
    deadline = monotonic() + seconds
    name, where = shown(url), url
    for _ in range(MAX_REDIRECTS + 1):
        with _answer(where, name, deadline, allow_private) as response:
            if response.status not in _REDIRECTS:
                return _content(response, name, max_bytes)
            where = _redirected(where, response.headers.get("Location"), name)
    raise AudioError(f"{name} is redirected more than {MAX_REDIRECTS} times; give the address that it leads to")


class _Connection(http.client.HTTPConnection):
    """Connects to an address that was checked; `abort` ends whatever it waits for."""

    def __init__(self, parts: SplitResult, name: str, seconds: float, allow_private: bool) -> None:
        self.default_port = 443 if parts.scheme == "https" else 80
        host = str(parts.hostname).encode("idna").decode("ascii")
        super().__init__(host, parts.port or self.default_port, timeout=seconds)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._name = name
        self._allow_private = allow_private
        self._wire: socket.socket | None = None  # `sock` is gone while an answer without a length is read

    def connect(self) -> None:
        self._wire = _connected(self.host, self.port, self.timeout, self._name, self._allow_private)
        if self._tls is not None:
            secured = self._tls.wrap_socket(self._wire, server_hostname=self.host, do_handshake_on_connect=False)
            self._wire = secured
            secured.do_handshake()
        self.sock = self._wire

    def close(self) -> None:
        super().close()
        if self._wire is not None:  # without a handshake it has not become `sock`
            self._wire.close()

    def abort(self) -> None:
        if self._wire is not None:
            with suppress(OSError):  # it may have ended by itself
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


@contextmanager
def _answer(url: str, name: str, deadline: float, allow_private: bool) -> Iterator[http.client.HTTPResponse]:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise AudioError(
            f"{name} leads to {re.split('[?#]', url)[0][:100]}, which is no http or https address; download it yourself"
        )
    if parts.username is not None or parts.password is not None:
        raise AudioError(f"{name} is given with a user and password, which are not sent; download it yourself")
    left = deadline - monotonic()
    try:
        connection = _Connection(parts, name, max(0.001, left), allow_private)
        watchdog = threading.Timer(left, connection.abort)  # a timeout of the socket begins anew with every byte
        watchdog.daemon = True
        watchdog.start()
        try:
            target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            connection.request("GET", target, headers={"Accept": "*/*", "User-Agent": f"speaker-id/{__version__}"})
            yield connection.getresponse()
        finally:
            watchdog.cancel()
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        if monotonic() < deadline:
            raise AudioError(
                f"{name} cannot be fetched ({error or type(error).__name__}); check the address"
            ) from error
    if monotonic() >= deadline:
        raise AudioError(f"{name} did not arrive in time; download it yourself, or allow more seconds")


def _content(response: http.client.HTTPResponse, name: str, max_bytes: int) -> bytes:
    if response.status != http.client.OK:
        raise AudioError(f"{name} is refused: {response.status} {response.reason}; check the address")
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise AudioError(f"{name} comes packed ({coding}), though it was not asked for so; download it yourself")
    stated = response.length
    content = bytearray()
    while (stated or 0) <= max_bytes and len(content) <= max_bytes and (block := response.read(_BLOCK)):
        content += block
    if max(len(content), stated or 0) > max_bytes:
        raise AudioError(f"{name} is over {max_bytes / 2**20:g} MB; download it yourself, or allow more bytes")
    if stated is not None and len(content) < stated:
        raise AudioError(f"{name} broke off after {len(content)} of {stated} bytes; try again")
    return bytes(content)


def _redirected(url: str, location: str | None, name: str) -> str:
    if location is None:
        raise AudioError(f"{name} is redirected to nowhere; check the address")
    target = urljoin(url, location)
    if url.lower().startswith("https:") and not target.lower().startswith("https:"):
        raise AudioError(f"{name} is redirected from https to {shown(target)}; give that address if you trust it")
    return target


def _connected(host: str, port: int, seconds: float | None, name: str, allow_private: bool) -> socket.socket:
    refused, failure = None, OSError("no such host")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not allow_private and not is_public(str(address[0])):
            refused = address[0]
            continue
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(seconds)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    if refused is not None:
        raise AudioError(
            f"{name} is at {refused}, in this machine's own network, where nothing is fetched from; download it "
            "yourself, or pass audio.fetch(url, allow_private=True) as bytes"
        )
    raise failure


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and neither to this machine nor to a network of its own."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inside = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside))
        if ip in _SITE_LOCAL:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
