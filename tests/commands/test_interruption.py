"""Runs that are cut off: by Ctrl-C, or by a disk that is full."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commands.running import Corpus, Finished, run_forked, run_here, start, tiny
from speaker_id import checkpoint

pytestmark = pytest.mark.slow


def interrupt_after_an_epoch(folder: Path, *arguments: str) -> Finished:
    """Ctrl-C as a terminal sends it: to the command and all its workers."""
    last = folder / "run" / "checkpoints" / "last.ckpt"
    with start("train", *arguments, f"hydra.run.dir={folder}/run", cwd=folder) as process:
        while process.poll() is None and not last.is_file():
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # or the block would wait for it for ever
            raise
    return Finished(process.returncode, out, err)


def test_ctrl_c_says_how_to_go_on_and_leaves_whole_checkpoints(corpus: Corpus, tmp_path: Path) -> None:
    arguments = [*corpus.lists, *tiny(), "data.num_workers=1", "trainer.max_epochs=100000"]
    finished = interrupt_after_an_epoch(tmp_path, *arguments)
    assert (finished.status, finished.err) == (130, "")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    errors = [line for line in finished.out.splitlines() if " INFO " not in line]
    assert len(errors) == 1
    assert "ERROR interrupted in epoch " in errors[0]
    assert f"go on with ckpt_path={last}" in errors[0]
    for path in last.parent.glob("*.ckpt"):
        assert checkpoint.load(path).speakers == ["ada", "ben", "cho", "dov"]


def test_a_disk_that_is_full_leaves_the_earlier_checkpoint_as_it_was(corpus: Corpus, tmp_path: Path) -> None:
    arguments = [*corpus.lists, *tiny(), f"hydra.run.dir={tmp_path}/run"]
    assert run_here("train", *arguments).status == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    finished = run_forked("train", *arguments, "seed=7", "logger=none", cwd=tmp_path, max_file_bytes=len(before) // 2)
    assert finished.status == 1
    errors = [line for line in finished.out.splitlines() if " INFO " not in line]
    assert len(errors) == 1, finished.out
    assert "ERROR cannot write the checkpoint" in errors[0]
    assert finished.err == ""
    assert last.read_bytes() == before
    assert not list(tmp_path.rglob("*.partial"))
