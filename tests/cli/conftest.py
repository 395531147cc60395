from pathlib import Path

import pytest

from inference.tiny_model import recording, tiny_bundle


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model to work with."""
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def desk(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with recordings of Ada and Bob; the model is given by the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEAKER_ID_MODEL", str(tiny))
    for name, pitch, seconds in (("ada", 90, 1.0), ("ada-2", 140, 1.0), ("bob", 260, 1.0), ("bob-long", 260, 3.0)):
        recording(tmp_path / f"{name}.wav", pitch, seconds)
    return tmp_path
