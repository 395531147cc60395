"""The campaign `make soak` in small, as its command is called: whether memory is flat takes longer to see."""

import subprocess
import sys
from pathlib import Path

import pytest

from inference.tiny_model import tiny_bundle
from service.running import POINT

CAMPAIGN = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_a_service_under_mixed_load_loses_nothing_when_it_is_stopped_in_the_middle(tmp_path: Path) -> None:
    model = tiny_bundle(tmp_path / "bundle", operating_point=POINT)
    command = [sys.executable, str(CAMPAIGN), "--minutes", "0.05", "--clients", "4", "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(" 0 failures")
