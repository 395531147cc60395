"""The door: who asks, how often, from where; decided before a byte of a recording is read."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.requests import HTTPConnection

from speaker_id.errors import ConfigError
from speaker_id.service.answers import Refused, declared, logger
from speaker_id.service.frame import CALLER, address
from speaker_id.service.keys import Key, Keyring, Role
from speaker_id.service.limits import check_stated, limited
from speaker_id.service.settings import is_loopback
from speaker_id.service.state import State

# For OpenAPI; `token_of` reads them.
_DOCUMENTED = [
    Depends(HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer sid_...`")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, for clients without Bearer.")),
]


def guarded(role: Role) -> APIRouter:
    """A router that only callers with that role pass, within their rate and the service's limits.

    The framework reads a request's body before it asks any dependency, so the door is the route itself.
    """

    class Door(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
            handle = super().get_route_handler()

            async def enter(request: Request) -> Response:
                state: State = request.app.state.speaker_id
                admit(state, request, token_of(request), role)
                settings = state.settings
                with state.room.taken():
                    check_stated(request.headers.get("content-length"), settings.max_bytes)
                    receive = limited(request.receive, settings.max_bytes, settings.upload_seconds)
                    return await handle(Request(request.scope, receive))

            return enter

    refusals = declared(400, 401, 403, 408, 413, 422, 429, 500, 503)
    return APIRouter(route_class=Door, dependencies=_DOCUMENTED, responses=refusals)


def admit(state: State, connection: HTTPConnection, token: str | None, role: Role) -> str:
    """The caller's name for limits. Raises Refused: 401, 403, 429, or 503 when the keys cannot be read."""
    origin = address(connection.scope)
    if state.keys is None:
        _check_own_machine(connection, state.settings.origins)
        caller = origin
    else:
        key = _key(state, state.keys, token, origin)
        connection.scope[CALLER] = key.name
        if not key.may(role):
            raise Refused(403, "NotAllowed", f"the key {key.name} has the role {key.role}; this needs {role}")
        caller = f"key {key.name}"
    if wait := state.rate_limit.wait(caller, state.clock()):
        raise _too_many(wait)
    return caller


def token_of(connection: HTTPConnection) -> str | None:
    """The API key that came with a request, if any."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else connection.headers.get("x-api-key")


async def get_state(request: Request) -> State:
    state: State = request.app.state.speaker_id
    return state


async def get_caller(request: Request) -> str:
    """Who asks, in words, for the gallery's audit log."""
    name = request.scope.get(CALLER)
    return "no key" if name is None else f"key {name}"


Opened = Annotated[State, Depends(get_state)]
Caller = Annotated[str, Depends(get_caller)]


def _key(state: State, keys: Keyring, token: str | None, origin: str) -> Key:
    """A valid key is never made to wait for what others do at its address."""
    try:
        key = keys.find(token) if token else None
    except ConfigError as error:
        logger.error("%s", error)
        raise Refused(503, "Unavailable", "the service cannot read its keys; its log says why") from error
    if key is not None:
        return key
    if wait := state.failures.wait(origin, state.clock()):
        raise _too_many(wait)
    challenge = {"WWW-Authenticate": "Bearer"}
    raise Refused(401, "NoKey", "a valid API key is needed: Authorization: Bearer KEY", challenge)


def _check_own_machine(connection: HTTPConnection, origins: tuple[str, ...]) -> None:
    """Without keys nothing but its address protects the service: pages of other sites must not reach it by a browser.

    A site may give its own name this machine's address (DNS rebinding), and WebSockets know no CORS.
    """
    host, origin = connection.headers.get("host", ""), connection.headers.get("origin")
    if not is_loopback(_split(f"//{host}").hostname or ""):
        raise Refused(403, "NotAllowed", "without keys the service answers to localhost only: run it with --keys FILE")
    if origin is not None and origin not in origins and _split(origin).netloc != host:
        raise Refused(403, "NotAllowed", "pages of other sites may not call: the operator may allow one with --origin")


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # [::1 without its bracket
        return urlsplit("")


def _too_many(wait: int) -> Refused:
    return Refused(429, "TooMany", f"more requests than allowed: wait {wait} s", {"Retry-After": str(wait)})
