"""A service on the tiny model, for tests: in this process, decoding in threads unless a test asks for processes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fastapi.testclient import TestClient

from inference.tiny_model import RATE, tiny_bundle, voice
from speaker_id.contracts import FloatArray, OperatingPoint
from speaker_id.errors import AudioError
from speaker_id.service import decoding, state
from speaker_id.service.app import create_app
from speaker_id.service.keys import new_key
from speaker_id.service.settings import Settings
from speaker_id.service.state import State

POINT = OperatingPoint(0.98, "chosen for the tests", llr_scale=10.0, llr_offset=-5.0)
ADA, BOB = 110.0, 230.0  # two voices, by pitch


def flac(pitch: float = ADA, seconds: float = 1.0) -> bytes:
    return encoded(voice(pitch, seconds), "FLAC")


def encoded(samples: FloatArray, kind: str, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


class InThread:
    """Decodes like a decoder process, without the seconds that one takes to start."""

    def __init__(self, num: int, sample_rate: int, limits: decoding.Limits) -> None:
        self._rate, self._limits = sample_rate, limits

    def decode(self, content: bytes, name: str = "the recording") -> decoding.Decoded:
        try:
            return decoding.decoded(content, self._rate, self._limits)
        except AudioError as error:
            raise type(error)(str(error).replace("<bytes>", name)) from error

    def wait_ready(self) -> None: ...
    def close(self) -> None: ...


def settings_in(folder: Path, **changes: Any) -> Settings:
    if not (folder / "bundle").exists():
        tiny_bundle(folder / "bundle", operating_point=POINT)
    given = {"num_decoders": 1, "requests_per_minute": 100_000, **changes}
    return Settings(folder / "bundle", folder / "gallery.db", **given)


@contextmanager
def running(folder: Path, *, processes: bool = False, raises: bool = True, **changes: Any) -> Iterator[TestClient]:
    """A client of a service whose files are in `folder`; `client.app.state.speaker_id` is its state."""
    with pytest.MonkeyPatch.context() as patch:
        if not processes:
            patch.setattr(state, "Decoders", InThread)
        app = create_app(settings_in(folder, **changes))
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=raises) as client:
            yield client


def state_of(client: TestClient) -> State:
    found: State = client.app.state.speaker_id  # type: ignore[attr-defined]
    return found


def keys_in(folder: Path) -> dict[str, str]:
    """One key of each role: role -> token; the file is keys.json."""
    return {role: new_key(folder / "keys.json", f"{role}-key", role) for role in ("verify", "enrol", "admin")}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def enrol(
    client: TestClient, name: str, *recordings: bytes, headers: dict[str, str] | None = None, **fields: str
) -> Any:
    files = [("recordings", content) for content in recordings]
    return client.put(f"/users/{name}/recordings", files=files, data=fields, headers=headers)
