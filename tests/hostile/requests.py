"""HTTP requests as bytes on the wire: what clients would refuse to send is sent."""

import json
import random
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote_from_bytes

from hostile import words

Recordings = Callable[[random.Random], bytes]

_ROUTES = (
    (b"POST", b"/identify"), (b"POST", b"/compare"), (b"POST", b"/embed"), (b"GET", b"/users"), (b"GET", b"/events"),
    (b"GET", b"/health"), (b"GET", b"/metrics"), (b"GET", b"/stream"), (b"GET", b"/static/app.js"),
    (b"GET", b"/openapi.json"), (b"GET", b"/"),
)  # fmt: skip
_METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"TRACE", b"get", b"X" * 30)
_PARAMETERS = ("threshold", "prior", "limit", "after", "user", "unknown")
_PARTS = ("recording", "recordings", "a", "b", "consent", "metadata", "expires", "x")
_TYPES = (
    b"multipart/form-data; boundary=%s", b"multipart/form-data; boundary=%s", b"multipart/form-data; boundary=%s",
    b"multipart/form-data; boundary=%s", b"multipart/form-data", b"multipart/form-data; boundary=",
    b"multipart/mixed; boundary=%s", b"multipart/form-data; boundary=%s; charset=utf-7",
    b"multipart/form-data; boundary=\"%s\"", b"application/json", b"application/x-www-form-urlencoded", b"text/plain",
    b"audio/wav", b"", b"\xff\xfe", b"multipart/form-data; boundary=" + b"x" * 4000,
)  # fmt: skip
_BOUNDARY = b"----speaker-id"

CHANGEABLE = b"Zoe"  # the user whose details hostile requests may change, where there is one


class Request(NamedTuple):
    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def on_the_wire(self, *more: tuple[bytes, bytes]) -> bytes:
        head = [self.method + b" " + self.target + b" HTTP/1.1"]
        head += [key + b": " + value for key, value in (*self.headers, *more)]
        return b"\r\n".join([*head, b"", self.body])


def hostile_request(rng: random.Random, recordings: Recordings) -> Request:
    """Well-formed HTTP, of which nothing else need be well formed."""
    kind = rng.random()
    if kind < 0.45:
        return _enrolment(rng, recordings)
    if kind < 0.6:
        method, end = rng.choice(((b"DELETE", b""), (b"DELETE", b""), (b"GET", b""), (b"POST", b"/restore")))
        return Request(method, b"/users/" + _name(rng) + end, (), b"")
    if kind < 0.75:
        user = CHANGEABLE if rng.random() < 0.7 else _name(rng)
        return _whole(b"PATCH", b"/users/" + user, b"application/json", _change(rng))
    method, path = rng.choice(_ROUTES)
    if rng.random() < 0.2:
        method = rng.choice(_METHODS)
    if rng.random() < 0.1:
        path = b"/" + _name(rng)
    body, content_type = _form(rng, recordings) if method == b"POST" else (b"", b"")
    return _whole(method, path + _query(rng), content_type, body)


def enrolment(name: bytes, parts: list[bytes]) -> Request:
    """An honest one: of the recordings given, under the name given as a path."""
    body = b"".join(_part(b'name="recordings"; filename="r"', part) for part in parts) + b"--" + _BOUNDARY + b"--\r\n"
    return _whole(b"PUT", b"/users/" + name + b"/recordings", _TYPES[0] % _BOUNDARY, body)


def question(path: bytes, parts: dict[str, bytes]) -> Request:
    """An honest one."""
    fields = [_part(b'name="%s"; filename="r"' % name.encode(), part) for name, part in parts.items()]
    return _whole(b"POST", path, _TYPES[0] % _BOUNDARY, b"".join(fields) + b"--" + _BOUNDARY + b"--\r\n")


def quoted(name: str) -> bytes:
    return quote_from_bytes(name.encode("utf-8", "surrogatepass"), safe="").encode()


def _whole(method: bytes, target: bytes, content_type: bytes, body: bytes) -> Request:
    headers = ((b"Content-Length", str(len(body)).encode()),)
    return Request(method, target, (*headers, *(((b"Content-Type", content_type),) if content_type else ())), body)


def _enrolment(rng: random.Random, recordings: Recordings) -> Request:
    body, content_type = _form(rng, recordings, ("recordings", "recordings", "consent", "metadata", "expires"))
    return _whole(b"PUT", b"/users/" + _name(rng) + b"/recordings" + _query(rng), content_type, body)


def _change(rng: random.Random) -> bytes:
    """JSON, or nearly, which states details."""
    if rng.random() < 0.3:
        return words.json_text(rng).encode("utf-8", "surrogatepass")
    texts = {words.name(rng): words.name(rng) for _ in range(rng.choice((0, 1, 3)))}
    details = {
        "consent": rng.choice((None, 1, words.name(rng))), "metadata": rng.choice((None, [], texts)),
        "expires": rng.choice((None, 1e300, words.moment(rng))), words.name(rng): words.number(rng),
    }  # fmt: skip
    chosen = {key: details[key] for key in rng.sample(sorted(details), rng.randint(0, 4))}
    return json.dumps(chosen, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


def _name(rng: random.Random) -> bytes:
    """Quoted as it should be, quoted wrongly, or bytes that no URL may hold but spaces and line ends."""
    whole = quoted(words.name(rng))
    kind = rng.random()
    if kind < 0.8:
        return whole
    if kind < 0.9:
        return whole.replace(b"%", rng.choice((b"%25", b"%f", b"%zz", b"%u00")))
    return bytes(byte for byte in rng.randbytes(rng.choice((1, 8, 300))) if byte > 32 and byte not in b"?#")


def _query(rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return b""
    pairs = [rng.choice(_PARAMETERS).encode() + b"=" + quoted(_value(rng)) for _ in range(rng.choice((1, 1, 2, 200)))]
    return b"?" + rng.choice((b"&", b"&&", b";")).join(pairs)


def _value(rng: random.Random) -> str:
    return words.number(rng) if rng.random() < 0.8 else words.name(rng)


def _form(rng: random.Random, recordings: Recordings, names: tuple[str, ...] = _PARTS) -> tuple[bytes, bytes]:
    """A body and its content type, which do not always agree."""
    parts = [_hostile_part(rng, recordings, rng.choice(names)) for _ in range(rng.choice((0, 1, 2, 3, 30)))]
    if rng.random() < 0.5:
        parts += [_part(b'name="%s"; filename="r"' % name, recordings(rng)) for name in (b"recordings", b"recording")]
    body = b"".join(parts) + b"--" + _BOUNDARY + b"--\r\n"
    if rng.random() < 0.15:
        body = body[: rng.randint(0, len(body))]
    if rng.random() < 0.05:
        body = rng.choice((b"{}", b"a=b&a=c", b"\r\n" * 1000, b"--" * 5000, rng.randbytes(3000)))
    content_type = rng.choice(_TYPES)
    return body, content_type % _BOUNDARY if b"%s" in content_type else content_type


def _hostile_part(rng: random.Random, recordings: Recordings, name: str) -> bytes:
    if name in ("recording", "recordings", "a", "b"):
        content = recordings(rng) if rng.random() < 0.6 else rng.randbytes(rng.choice((0, 1, 100)))
    else:
        make = {"metadata": words.json_text, "expires": words.moment}.get(name, words.name)
        content = make(rng).encode("utf-8", rng.choice(("surrogatepass", "replace")))
    if rng.random() < 0.1:
        name = words.name(rng)
    head = b'name="' + name.encode("utf-8", "surrogatepass").replace(b"\n", b" ").replace(b"\r", b" ") + b'"'
    if name.startswith("record") or rng.random() < 0.3:
        head += b'; filename="' + quoted(words.name(rng))[:300] + b'"'
    return _part(
        head,
        content,
        rng.choice(
            (
                b"",
                b"",
                b"Content-Type: audio/wav\r\n",
                b"Content-Transfer-Encoding: base64\r\n",
                b"X: " + b"y" * 9000 + b"\r\n",
                b"no colon\r\n",
            )
        ),
    )


def _part(head: bytes, content: bytes, headers: bytes = b"") -> bytes:
    return (
        b"--"
        + _BOUNDARY
        + b"\r\nContent-Disposition: form-data; "
        + head
        + b"\r\n"
        + headers
        + b"\r\n"
        + content
        + b"\r\n"
    )
