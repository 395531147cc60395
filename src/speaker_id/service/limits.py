"""What callers may ask for: requests by the minute and at once, bytes and time by the request."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from speaker_id.service.answers import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MAX_CALLERS = 10_000  # remembered; the one not heard of for longest is forgotten first


class RateLimit:
    """A bucket for each caller: full it allows a minute's worth at once, and it fills up evenly."""

    def __init__(self, per_minute: int) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> (tokens, when)

    def wait(self, caller: str, now: float) -> int:
        """Take one request at the time `now` (seconds); 0 if allowed, else the whole seconds to wait."""
        tokens, before = self._buckets.pop(caller, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - before) * self._per_second)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - tokens) / self._per_second)


class Room:
    """How many requests may be between arrival and answer: with the size of each it bounds the memory."""

    def __init__(self, places: int) -> None:
        self.free = places

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self.free == 0:
            raise Refused(503, "Busy", "too many requests wait for an answer: try again in a moment")
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1


def check_stated(length: str | None, max_bytes: int) -> None:
    """A body that says itself that it is too long is not read at all."""
    if length is not None and length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes)


def limited(receive: Receive, max_bytes: int, seconds: float) -> Receive:
    """`receive` that raises Refused, 413 or 408, when the body is too long or too slow."""
    deadline = asyncio.get_running_loop().time() + seconds
    taken, more = 0, True

    async def receive_some() -> Message:
        nonlocal taken, more
        if not more:
            return await receive()  # waits for the caller to hang up
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "TooSlow", f"the request did not arrive within {seconds:g} s", CLOSE) from None
        taken += len(message.get("body", b""))
        more = message.get("more_body", False)
        if taken > max_bytes:
            raise _too_large(max_bytes)
        return message

    return receive_some


CLOSE = {"Connection": "close"}  # the rest of the body is not waited for


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        413, "TooLarge", f"a request may hold {max_bytes / 2**20:g} MB at most: send shorter recordings", CLOSE
    )
