import time
from datetime import UTC, datetime, timedelta

import pytest

from speaker_id.cli.times import duration, moment
from speaker_id.errors import ConfigError

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90min", timedelta(minutes=90)), ("12h", timedelta(hours=12)), (" 30d ", timedelta(days=30)),
     ("2w", timedelta(days=14)), ("0", timedelta(0)), ("0d", timedelta(0))],
)  # fmt: skip
def test_durations_say_their_unit(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "5", "5m", "-1d", "1.5h", "d", "1 d", "9" * 30 + "d", "soon", "1y"])
def test_what_is_no_duration_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ConfigError, match=r"min, h, d or w|beyond the calendar"):
        duration(text)


def test_a_moment_is_so_long_from_now_or_a_date_and_time() -> None:
    assert moment("1d", NOW) == datetime(2030, 2, 1, 12, tzinfo=UTC)
    assert moment("2031-12-31T10:00+02:00", NOW) == datetime(2031, 12, 31, 8, tzinfo=UTC)
    assert moment("2031-12-31T10:00Z", NOW).utcoffset() == timedelta(0)


def test_a_date_without_a_zone_begins_when_it_does_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment("2031-12-31", NOW) == datetime(2031, 12, 30, 15, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "2031-13-01", "999999999w"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a date like 2031-12-31"):
        moment(text, NOW)
