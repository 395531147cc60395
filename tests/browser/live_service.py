"""The service as browsers reach it: a real server on a free port, run in a thread of this process."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from service.running import InThread
from speaker_id.service import state
from speaker_id.service.app import create_app
from speaker_id.service.settings import Settings


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """Its address, with a slash at the end."""
    with socket.socket() as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "Decoders", InThread)
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()
