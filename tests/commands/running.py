"""Runs the commands: in this process where that tells the same, as a process of their own where it does not."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import rich
import torch
from torch import Tensor

from forked import run_python
from inference.tiny_model import RATE
from leaves import composed
from speaker_id import build
from speaker_id.contracts import FloatArray

QUICK = [
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.batch_size=8",
    "data.crop_seconds=0.5",
    "data.num_workers=0",
    "scheduler.warmup_epochs=0",
]


class Finished(NamedTuple):
    """A command that ended; `out` is all that it said in this process, or stdout of its own."""

    status: int
    out: str
    err: str = ""


class Corpus(NamedTuple):
    """A folder of recordings and the lists of them."""

    folder: Path
    train: Path
    val: Path

    @property
    def lists(self) -> list[str]:
        return [f"data.train_list={self.train}", f"data.val_list={self.val}"]


def sway(pitch: float, seconds: float, rng: np.random.Generator) -> FloatArray:
    """A voice (S,): its pitch wanders, never twice the same way, and a little noise is under it."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch * (time + 0.01 * np.sin(2 * np.pi * 3 * time + rng.uniform(0, 6)))
    level = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time + rng.uniform(0, 6))
    tone = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 12)) * level
    return (0.15 * tone + 0.005 * rng.standard_normal(len(time))).astype(np.float32)


def tiny(model: str = "ecapa") -> list[str]:
    backbone = build.target_class(composed(f"model={model}").model.backbone).TINY
    sizes = [f"model.backbone.{option}={value}".replace(" ", "") for option, value in backbone.items()]
    return [f"model={model}", *sizes, "model.projection.dim=12", *QUICK]


def run_here(module: str, *arguments: str) -> Finished:
    """`python -m speaker_id.<module> ARGUMENTS`, without the seconds that a new process spends on imports."""
    from importlib import import_module

    main: Callable[[], None] = import_module(f"speaker_id.{module}").main
    said, status = io.StringIO(), 0
    with _as_it_was(), redirect_stdout(said), redirect_stderr(said):
        sys.argv = [module, *arguments]
        try:
            main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Finished(status, said.getvalue())


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Hydra and Lightning change what belongs to the process: arguments, environment, logging, random numbers."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")}
    with (
        warnings.catch_warnings(),
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "argv", sys.argv),
        mock.patch.object(rich, "_console", None),
        torch.random.fork_rng(devices=[]),
    ):
        state = np.random.get_state()  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
            for name, old in levels.items():
                logging.getLogger(name).setLevel(old)


def start(module: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The command as its own process, and as its own group, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", f"speaker_id.{module}", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A runner in the background ignores Ctrl-C, and what it starts would inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 it takes no lock
    )


def run_forked(module: str, *arguments: str, cwd: Path, max_file_bytes: int = -1) -> Finished:
    """The command in a process where nothing of ours was imported, but the libraries were."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = run_python(
        "-m", f"speaker_id.{module}", *arguments, cwd=cwd, environment=environment, max_file_bytes=max_file_bytes
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_apart(module: str, *arguments: str, cwd: Path) -> Finished:
    """The command as a process of its own from the interpreter's start on."""
    with start(module, *arguments, cwd=cwd) as process:
        out, err = process.communicate(timeout=400)
    return Finished(process.returncode, out, err)


def metrics_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return content


def weights_of(path: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return weights


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, to see that a command left it alone."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
