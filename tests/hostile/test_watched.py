from collections.abc import Iterator

import pytest

from hostile import broken
from hostile.watched import Outcome, Watched


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    found = Watched(broken.work, "told", cpu_limit=0.3, wall_limit=60.0)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("case", "detail"), [(broken.CRASHES, "SIGSEGV"), (broken.SPINS, "hangs: "), (broken.EXITS, "ended the process: 3")]
)
def test_what_ends_or_hangs_the_process_is_named_and_the_next_case_is_tried(
    watched: Watched, case: int, detail: str
) -> None:
    assert watched.outcome(broken.FINE) == Outcome("sound", "told")
    outcome = watched.outcome(case)
    assert outcome.kind == "failed"
    assert detail in outcome.detail
    assert watched.outcome(broken.FINE) == Outcome("sound", "told")


def test_what_waits_for_ever_is_not_waited_for() -> None:
    watched = Watched(broken.work, "told", wall_limit=0.5)
    assert watched.outcome(broken.SLEEPS).detail.startswith("hangs: 0 s of processor time")
    watched.close()
