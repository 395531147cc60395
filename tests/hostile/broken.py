"""A worker whose cases go wrong in every way, in a module that a new process can import."""

import os
import signal
import time
from multiprocessing.connection import Connection

from hostile.watched import Outcome

FINE, CRASHES, SPINS, SLEEPS, EXITS = range(5)


def work(pipe: Connection, word: str) -> None:
    pipe.send("ready")
    while True:
        case = pipe.recv()
        if case == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        while case == SPINS:
            pass
        if case == SLEEPS:
            time.sleep(3600)
        if case == EXITS:
            raise SystemExit(3)
        pipe.send(Outcome("sound", word))
