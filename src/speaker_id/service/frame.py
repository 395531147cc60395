"""Around every request: security headers on the way out, a counter, and one line in the log."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders

from speaker_id.service.counters import STREAMED, Counters

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CALLER = "speaker_id.caller"  # the key of a scope under which the door leaves who asks

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # answers are personal data
}
STRICT_TRANSPORT = "max-age=31536000"

logger = logging.getLogger(__name__)


class Frame:
    """The outermost ASGI layer, so that errors of all others pass it too."""

    def __init__(self, app: App, counters: Counters) -> None:
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status, accepted = 0, False  # no answer: the caller went away

        async def framed(message: Scope) -> None:
            nonlocal status, accepted
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope["scheme"])
            elif message["type"] == "websocket.accept":
                accepted = True
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000) if accepted else 403  # what servers make of it
            await send(message)

        try:
            await self._app(scope, receive, framed)
        finally:
            self._record(scope, status, time.perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """What was asked and answered, never a name, a score or a sound; of a stream, our closing code."""
        route, method = _route(scope), scope.get("method", STREAMED)
        self._counters.count(method, route, status, seconds)
        fields = {
            "method": method, "route": route, "status": status, "seconds": round(seconds, 4),
            "caller": scope.get(CALLER), "address": address(scope),
        }  # fmt: skip
        logger.info("request", extra={"fields": fields})


def address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else "unknown"


def _add_headers(headers: MutableHeaders, scheme: str) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    if scheme == "https":
        headers.setdefault("Strict-Transport-Security", STRICT_TRANSPORT)


def _route(scope: Scope) -> str:
    """The route's pattern: /users/{name} holds no name. Whatever has none is not repeated."""
    if route := getattr(scope.get("route"), "path_format", None):
        return str(route)
    return "/static" if scope["path"].startswith("/static/") else "other"
