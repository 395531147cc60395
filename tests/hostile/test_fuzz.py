"""The campaign `make fuzz` in small, as its command is called."""

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
def test_a_hundred_mutated_files_and_hostile_requests_find_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(CAMPAIGN), "--files", "100", "--workers", "1", "--failures", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout
    assert not list(tmp_path.iterdir())
