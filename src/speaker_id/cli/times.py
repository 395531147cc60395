"""Times as people type them: a day, a moment, or how long from now."""

import re
from datetime import UTC, datetime, timedelta

from speaker_id.errors import ConfigError

UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
DURATIONS = "a number with min, h, d or w, like 12h or 30d"


def duration(text: str) -> timedelta:
    """`90min`, `12h`, `30d`, `2w` or `0`. Raises ConfigError."""
    found = re.fullmatch(r"(\d+)(min|h|d|w)?", text.strip())
    if found is None or (found[2] is None and int(found[1]) != 0):
        raise ConfigError(f"{text!r} is no duration: give {DURATIONS}")
    try:
        return int(found[1]) * UNITS[found[2] or "d"]
    except OverflowError as error:
        raise ConfigError(f"{text!r} is beyond the calendar: give a shorter duration") from error


def moment(text: str, now: datetime) -> datetime:
    """A duration from `now`, or an ISO 8601 date or date and time, local where no zone is given -> UTC."""
    try:
        return now + duration(text)
    except (ConfigError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no time: give a date like 2031-12-31, or {DURATIONS} from now") from error


def shown_time(moment: datetime) -> str:
    """As a clock on the wall here shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
