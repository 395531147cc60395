import sys
from dataclasses import replace

import numpy as np
import pytest

from report.planted import evaluation
from speaker_id.errors import ConfigError
from speaker_id.report.speaker_map import MAX_SPEAKERS, speaker_map

PLANTED = evaluation(num_speakers=25, per_speaker=6, noise=0.3, num_draws=2).recordings


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_speakers_who_are_told_apart_make_islands() -> None:
    found = speaker_map(PLANTED, "tsne", rng())
    assert found is not None
    assert len(found.speakers) == MAX_SPEAKERS
    assert found.num_speakers == 25
    plane, who = np.array([place[:2] for place in found.places]), [place.speaker for place in found.places]
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2) + np.diag([np.inf] * len(plane))
    nearest = distances.argmin(axis=1)
    assert np.mean([who[row] == who[other] for row, other in enumerate(nearest)]) > 0.95
    assert plane.min() == 0
    assert plane.max() == 1


def test_the_map_is_the_same_in_every_run() -> None:
    assert speaker_map(PLANTED, "tsne", rng()) == speaker_map(PLANTED, "tsne", rng())


def test_every_place_is_a_recording_of_its_speaker_and_models_are_left_out() -> None:
    paths = tuple("" if row % 6 == 0 else path for row, path in enumerate(PLANTED.paths))
    found = speaker_map(replace(PLANTED, paths=paths), "tsne", rng())
    assert found is not None
    speaker = dict(zip(PLANTED.names, PLANTED.speakers, strict=True))
    assert all(speaker[place.recording] == place.speaker for place in found.places)
    assert len(found.places) == MAX_SPEAKERS * 5


def test_too_few_speakers_make_no_map() -> None:
    nobody = replace(PLANTED, speakers=("",) * len(PLANTED.names))
    two = replace(PLANTED, speakers=tuple("a" if row < 6 else "b" for row in range(len(PLANTED.names))))
    once = replace(PLANTED, speakers=tuple(map(str, range(len(PLANTED.names)))))
    assert [speaker_map(recordings, "tsne", rng()) for recordings in (nobody, two, once)] == [None, None, None]


def test_umap_is_asked_for_by_name_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.report.speaker_map.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install umap-learn"):
        speaker_map(PLANTED, "umap", rng())


def test_umap_draws_when_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Umap:
        def __init__(self, **options: object) -> None:
            assert options["random_state"] == 0

        def fit_transform(self, embeddings: np.ndarray) -> np.ndarray:
            return embeddings[:, :2]

    monkeypatch.setattr("speaker_id.report.speaker_map.find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "umap", type("umap", (), {"UMAP": Umap}))  # type: ignore[arg-type]
    found = speaker_map(PLANTED, "umap", rng())
    assert found is not None
    assert found.method == "UMAP"
