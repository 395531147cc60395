import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.service import limits
from speaker_id.service.answers import Refused
from speaker_id.service.limits import Message, RateLimit, Room, check_stated, limited


def test_a_minutes_worth_may_come_at_once_and_then_evenly() -> None:
    limit = RateLimit(60)
    assert [limit.wait("a", 0.0) for _ in range(60)] == [0] * 60
    assert limit.wait("a", 0.0) == 1
    assert limit.wait("a", 0.9) == 1
    assert limit.wait("a", 1.0) == 0
    assert limit.wait("a", 1.0) == 1
    assert limit.wait("b", 1.0) == 0


@given(st.lists(st.floats(0, 300), max_size=200), st.integers(1, 30))
def test_no_more_than_two_minutes_worth_passes_in_any_minute(moments: list[float], per_minute: int) -> None:
    limit = RateLimit(per_minute)
    passed = [now for now in sorted(moments) if limit.wait("a", now) == 0]
    for start in passed:
        assert sum(start <= now < start + 60 for now in passed) <= 2 * per_minute


@given(st.integers(1, 500))
def test_whoever_waits_as_told_is_let_pass(per_minute: int) -> None:
    limit = RateLimit(per_minute)
    while not (wait := limit.wait("a", 0.0)):
        pass
    assert limit.wait("a", wait + 1e-6) == 0


def test_a_flood_of_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    limit = RateLimit(1)
    for caller in "abcdef":
        limit.wait(caller, 0.0)
    assert list(limit._buckets) == ["d", "e", "f"]


def test_room_is_given_back_even_after_a_failure() -> None:
    room = Room(1)
    with pytest.raises(KeyError), room.taken():
        raise KeyError
    with room.taken():
        with pytest.raises(Refused, match="too many") as refused, room.taken():
            pass
        assert refused.value.status_code == 503
    assert room.free == 1


def test_a_stated_length_is_believed_only_when_it_is_too_long() -> None:
    for length in (None, "10", "-1", "x", ""):
        check_stated(length, 10)
    with pytest.raises(Refused) as refused:
        check_stated("11", 10)
    assert (refused.value.status_code, refused.value.headers) == (413, {"Connection": "close"})


def bodies(*parts: bytes) -> limits.Receive:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive() -> Message:
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    return receive


def test_a_body_is_read_up_to_the_limit_and_not_beyond() -> None:
    async def read() -> None:
        receive = limited(bodies(b"12345", b"67890", b"1", b"never read"), 10, 60.0)
        assert [(await receive())["body"] for _ in range(2)] == [b"12345", b"67890"]
        with pytest.raises(Refused) as refused:
            await receive()
        assert refused.value.status_code == 413

    asyncio.run(read())


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def read() -> None:
        receive = limited(bodies(b"1"), 10, 0.05)
        await receive()
        with pytest.raises(Refused) as refused:
            await receive()
        assert refused.value.status_code == 408

    asyncio.run(read())
