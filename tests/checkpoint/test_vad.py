"""A model that was trained without pauses says so, and is used without them."""

from pathlib import Path
from typing import Any

import pytest

from checkpoint.test_loading import content, refused, saved
from inference.tiny_model import tiny_model
from speaker_id import checkpoint
from speaker_id.checkpoint import KEY
from speaker_id.vad.energy import Energy

VAD = {"_target_": "speaker_id.vad.energy.Energy", "min_pause_seconds": 0.2, "pad_seconds": 0.05}


def with_vad(vad: Any = VAD) -> Any:
    return lambda description: description.update(vad=vad)


def test_the_detector_comes_back_with_its_options(tmp_path: Path) -> None:
    loaded = checkpoint.load(saved(tmp_path / "x.ckpt", change=with_vad()))
    assert isinstance(loaded.vad, Energy)
    assert loaded.vad.identity == Energy(min_pause_seconds=0.2, pad_seconds=0.05).identity
    assert loaded.config["vad"] == VAD
    bundled = checkpoint.load(checkpoint.save_bundle(loaded, tmp_path / "bundle"))
    assert bundled.config == loaded.config
    assert bundled.fingerprint == loaded.fingerprint
    assert bundled.vad is not None
    assert bundled.vad.identity == loaded.vad.identity


def test_a_model_without_one_is_described_as_ever(tmp_path: Path) -> None:
    description = content()[KEY]
    assert description["format"] == 1
    assert "vad" not in description
    assert checkpoint.load(saved(tmp_path / "x.ckpt")).vad is None


def test_earlier_versions_refuse_what_they_would_use_wrongly() -> None:
    config = {**tiny_model().config, "vad": VAD}
    assert checkpoint.describe(config, [], None)["format"] == 2


def test_its_embeddings_are_another_models(tmp_path: Path) -> None:
    paths = [saved(tmp_path / "plain.ckpt"), saved(tmp_path / "cut.ckpt", change=with_vad())]
    paths.append(saved(tmp_path / "wide.ckpt", change=with_vad({**VAD, "pad_seconds": 0.1})))
    assert len({checkpoint.load(path).fingerprint for path in paths}) == 3


@pytest.mark.parametrize(
    "vad",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "speaker_id.vad.stretches.total"},
        {"_target_": "speaker_id.vad.energy.Frames", "power": 1},
        {"_target_": "speaker_id.vad.silero.ConfigError"},
    ],
)
def test_a_detector_that_is_none_of_ours_is_refused(tmp_path: Path, vad: dict[str, Any]) -> None:
    refused(saved(tmp_path / "x.ckpt", change=with_vad(vad)), "to be built; only speaker_id's own")


@pytest.mark.parametrize("vad", ["silero", {"pad_seconds": 1}, {}, None])
def test_a_description_whose_vad_names_no_class_is_refused(tmp_path: Path, vad: Any) -> None:
    refused(saved(tmp_path / "x.ckpt", change=with_vad(vad)), "its vad names no class to build")
