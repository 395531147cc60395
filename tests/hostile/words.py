"""Names, JSON, times and numbers that nobody would send."""

import random
from collections.abc import Sequence

_NAMES = (
    "", " ", ".", "..", "../../etc/passwd", "/", "//", "a/b", "a%2Fb", "%00", "a\0b", "\0", "a\nb", "\r\n\r\n", "\t",
    "\x7f", "\x1b[2J", "'; DROP TABLE users; --", '"', "\\", "%", "_", "*", "?", "#", "a?b=c", "a#b", "con", "nul.txt",
    "-", "--help", "~", "$(reboot)", "`id`", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "recordings",
    "a/recordings", "A\u0301", "\u00c1", "\u202eabc", "\u200b", "\ufeff", "\ufffd", "\ufffe", "\U0001f600",
    "\U0010ffff", "日本語", "ß", "İ", "ﬁ", "\ud800", "a\udcffb", "é" * 100, "x" * 200, "x" * 201, "x" * 10_000, "None",
    "null", "true", "0", "-1", "NaN", "1e999",
)  # fmt: skip

_VALUES = (
    "0", "-1", "1", "101", "1e3", "-0", "0.0", "1.0", "NaN", "nan", "Infinity", "-inf", "1e999", "9" * 400,
    "-" + "9" * 30, "0x10", "1_000", "١", " 5 ", "5\0", "", "null", "true", "[]", "{}", "0.5", "2",
    "0.999999999999999999", "1000", "1001", "é", "+1",
)  # fmt: skip

_TIMES = (
    "2099-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z",
    "2099-01-01", "2099-02-30T00:00:00Z", "1e20", "-1", "0", "253402300800", "99999999999999999999",
    "2099-01-01T25:00:00Z", "now", "", "2099-01-01T00:00:00+99:99", "2099-01-01T00:00:00.123456789Z",
    "2099-01-01T00:00:00[Europe/Berlin]", "1999-01-01T00:00Z",
)  # fmt: skip

_JSON = (
    "{}", "[]", "null", "1", '"text"', "", " ", "{", '{"a"', '{"a":1}', '{"a":"b"}', '{"a":null}', '{"a":{"b":"c"}}',
    '{"":""}', '{"a":"b","a":"c"}', '{"a":"\\ud800"}', '{"\\udfff":"b"}', '{"a":"\\u0000"}', '{"__proto__":"x"}',
    "NaN", '{"a":NaN}', '{"a":1e999}', "9" * 5000, "-" * 100, "[" * 100_000, '{"a":' * 100_000,
    '{"a":"' + "x" * 9000 + '"}', "\ufeff{}", "{'a':'b'}", '{"a":"b"} x', "\x00{}", '{"a\\nb":"\\u202e"}',
    "{" + ",".join(f'"k{i}":"v"' for i in range(900)) + "}",
)  # fmt: skip

_FRAGMENTS = (
    "\0",
    "\ud83d",
    "\udcff",
    "%",
    "\r\n",
    "\x85",
    "\u2028",
    "'",
    '"',
    "\\",
    "/",
    "..",
    "\U0010fffd",
    "é",
    "a",
    "Z",
    "0",
    " ",
    ";",
)


def name(rng: random.Random) -> str:
    """One of the notorious, or something put together; it may not be valid Unicode."""
    return _one(_NAMES, rng)


def number(rng: random.Random) -> str:
    return _one(_VALUES, rng)


def moment(rng: random.Random) -> str:
    return _one(_TIMES, rng)


def json_text(rng: random.Random) -> str:
    text = _one(_JSON, rng)
    if rng.random() < 0.2 and text:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(_FRAGMENTS) + text[at + 1 :]
    return text


def _one(notorious: Sequence[str], rng: random.Random) -> str:
    if rng.random() < 0.7:
        return rng.choice(notorious)
    return "".join(rng.choice(_FRAGMENTS) for _ in range(rng.choice((1, 3, 10, 60, 400))))
