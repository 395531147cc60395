import ctypes
import platform
from types import SimpleNamespace
from typing import Any

import pytest

from speaker_id.training.allocator import keep_memory


def refuse(name: str) -> Any:
    raise AssertionError(f"opened {name}")


@pytest.mark.parametrize(
    ("system", "libc"),
    [
        ("Windows", ("", "")),
        ("Darwin", ("", "")),
        ("Linux", ("", "")),
        ("Linux", ("musl", "1.2")),
        ("", ("glibc", "2")),
    ],
)
def test_other_platforms_are_left_alone(monkeypatch: pytest.MonkeyPatch, system: str, libc: tuple[str, str]) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_memory()


def test_glibc_is_told_both_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, int] = {}
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=told.__setitem__))
    keep_memory()
    assert told == {-3: 2**30, -1: 2**31 - 1}  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, both ints for C
