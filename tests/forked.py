"""Python commands in processes forked from one that has imported the libraries, which takes a new process 8 s of CPU.

Our own package is imported by every command anew, from where its PYTHONPATH says. What a process of its own would show
and this cannot (that a library's import is missing, say) is shown by the tests that start one.
"""

import atexit
import multiprocessing
import os
import resource
import runpy
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

TESTS = Path(__file__).parent
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["pytorch_lightning", "hydra", "torchaudio", "matplotlib.pyplot", "scipy.signal", "scipy.stats", "sklearn.metrics"]
)


def run_python(
    *arguments: str, cwd: Path, environment: Mapping[str, str], max_file_bytes: int = -1
) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS` in `cwd`, its standard input empty; -1 is a disk without limit."""
    dash_m, module, *rest = arguments
    assert dash_m == "-m"
    (from_out, to_out), (from_err, to_err) = (CONTEXT.Pipe(duplex=False) for _ in range(2))
    process = CONTEXT.Process(
        target=_become, args=(module, rest, cwd, dict(environment), max_file_bytes, to_out, to_err)
    )
    process.start()
    to_out.close()
    to_err.close()
    with ThreadPoolExecutor() as readers:
        out, err = readers.map(_everything, (from_out, from_err))
    process.join()
    assert process.exitcode is not None
    return subprocess.CompletedProcess(["python", *arguments], process.exitcode, out, err)


def _everything(connection: "Connection[bytes, bytes]") -> str:
    with connection, open(connection.fileno(), encoding="utf-8", closefd=False) as stream:
        return stream.read()


def _become(
    module: str,
    arguments: list[str],
    cwd: Path,
    environment: dict[str, str],
    max_file_bytes: int,
    out: "Connection[bytes, bytes]",
    err: "Connection[bytes, bytes]",
) -> None:
    """What the interpreter does for `python -m`: a search path of its own, the module as `__main__`, then atexit."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for stream, connection in ((1, out), (2, err)):
        os.dup2(connection.fileno(), stream)
        connection.close()
    if max_file_bytes >= 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    installed = [entry for entry in sys.path if entry and TESTS not in (Path(entry), *Path(entry).parents)]
    sys.path[:] = [str(cwd), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)), *installed]
    sys.argv[:] = [module, *arguments]
    multiprocessing.set_start_method(None, force=True)  # type: ignore[arg-type]  # the command's own choice again
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
