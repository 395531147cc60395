"""What all tests share: one thread, and real speech where there is some."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; also for the commands that tests start

from pathlib import Path

import pytest
import torch
from hypothesis import settings

import drawn

torch.set_num_threads(1)
settings.register_profile("shared machine", deadline=None)  # a busy machine is no failure
settings.load_profile("shared machine")


def pytest_report_header() -> str:
    part = "all" if drawn.ALL else f"a part drawn by SPEAKER_ID_TEST_SEED={drawn.SEED}"
    return f"combinations of model, pooling and loss: {part}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files with slow tests first: what begins last must not be what takes longest.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if not drawn.ALL and item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.skip(reason="slow and seldom broken: run by `make test-all`"))


SPEECH = Path(os.environ.get("SPEAKER_ID_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random weights are the same in every run: a failure can be repeated."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech, <corpus>/…/<speaker>/<utterance>.flac; without one the test is skipped."""
    if not any(SPEECH.glob("*/**/*.flac")):
        pytest.skip(f"no real speech: set SPEAKER_ID_DATA to a folder of <corpus>/<speaker>/*.flac ({SPEECH} has none)")
    return SPEECH
