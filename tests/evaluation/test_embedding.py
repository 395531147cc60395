from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.tiny_model import RATE, recording, tiny_model, voice
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import ConfigError, DataError
from speaker_id.evaluation.embedding import Crop, HowToEmbed, embed
from speaker_id.inference.embedder import ModelEmbedder

LOADED = tiny_model()
SECONDS = (1.0, 1.7, 1.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataList:
    folder = tmp_path_factory.mktemp("recordings")
    paths = [recording(folder / f"{n}.wav", 100 + 30 * n, seconds) for n, seconds in enumerate(SECONDS)]
    return DataList("made.tsv", tuple(Utterance(str(path), "", path.name) for path in paths))


def how(kind: str = "whole", seconds: float = 0.5, num: int = 3, **changes: Any) -> HowToEmbed:
    options = {"device": "cpu", "min_seconds": 0.5, "max_seconds": 60.0, "batch_seconds": 4.0, "num_workers": 0}
    return HowToEmbed(**{**options, "crop": Crop(kind, seconds, num), **changes})


def unit(waveform: FloatArray) -> FloatArray:
    """One stretch of sound through the model alone."""
    with torch.inference_mode():
        row = LOADED.embedding_model(LOADED.feature(torch.from_numpy(waveform[None])))[0].double().numpy()
    return row / np.linalg.norm(row)


def crops_of(number: int, starts: list[int]) -> FloatArray:
    whole = voice(100 + 30 * number, SECONDS[number])
    mean = np.mean([unit(whole[start : start + RATE // 2]) for start in starts], axis=0)
    return mean / np.linalg.norm(mean)


def test_whole_recordings_are_embedded_as_the_product_does(data: DataList) -> None:
    found = embed(LOADED, data, how())
    product = ModelEmbedder(LOADED)([voice(100 + 30 * n, seconds) for n, seconds in enumerate(SECONDS)])
    np.testing.assert_allclose(found.embeddings, product, atol=1e-6)
    np.testing.assert_allclose(found.seconds, SECONDS, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-6)


def test_crops_lie_evenly_from_the_first_sample_to_the_last(data: DataList) -> None:
    found = embed(LOADED, data, how("crops")).embeddings
    np.testing.assert_allclose(found[0], crops_of(0, [0, 4000, 8000]), atol=1e-5)
    np.testing.assert_allclose(found[1], crops_of(1, [0, 9600, 19200]), atol=1e-5)


def test_both_are_half_the_whole_and_half_the_crops(data: DataList) -> None:
    found = embed(LOADED, data, how("both")).embeddings[1]
    expected = unit(voice(130, 1.7)) + crops_of(1, [0, 9600, 19200])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("kind", ["crops", "both"])
def test_recordings_that_are_not_longer_than_a_crop_are_taken_whole(data: DataList, kind: str) -> None:
    whole = embed(LOADED, data, how()).embeddings
    found = embed(LOADED, data, how(kind, seconds=1.0)).embeddings
    np.testing.assert_allclose(found[[0, 2]], whole[[0, 2]], atol=1e-6)
    assert np.abs(found[1] - whole[1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["whole", "crops", "both"])
def test_an_embedding_does_not_depend_on_its_batch_mates(data: DataList, kind: str) -> None:
    together, alone = (embed(LOADED, data, how(kind, batch_seconds=seconds)).embeddings for seconds in (10.0, 0.1))
    np.testing.assert_allclose(together, alone, atol=1e-5)


class FirstHalf:
    """A transform that remembers for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def length(self, num_samples: int) -> int:
        return num_samples // 2

    def __call__(self, waveform: FloatArray, name: str) -> FloatArray:
        self.asked.append(name)
        return waveform[: len(waveform) // 2]


def test_a_transform_is_heard_before_the_model(data: DataList) -> None:
    transform = FirstHalf()
    found = embed(LOADED, data, how(), transform=transform)
    np.testing.assert_allclose(found.embeddings[1], unit(voice(130, 1.7)[: RATE * 17 // 20]), atol=1e-5)
    np.testing.assert_allclose(found.seconds, np.array(SECONDS) / 2, atol=1e-6)
    assert sorted(transform.asked) == ["0.wav", "1.wav", "2.wav"]


def test_a_recording_that_is_too_short_is_named(data: DataList, tmp_path: Path) -> None:
    path = recording(tmp_path / "short.wav", 100, 0.3)
    with pytest.raises(DataError, match=r"made.tsv, utterance 1 \(short.wav\): .* lasts 0.30 s"):
        embed(LOADED, DataList("made.tsv", (Utterance(str(path), "", path.name),)), how())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (how("crop"), "crop.kind=crop does not exist; there are: whole, crops, both"),
        (how("crops", num=0), "crop.num=0: take one crop or more"),
        (how("both", seconds=0.2), "crop.seconds=0.2 .* none shorter than data.min_seconds=0.5"),
        (how("crops", seconds=float("nan")), "crop.seconds=nan"),
    ],
)
def test_crops_that_cannot_be_are_refused(wrong: HowToEmbed, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        wrong.checked()


def test_what_was_embedded_is_said_in_words() -> None:
    assert how(num=0).checked().crop.kind == "whole"  # nothing is cropped
    words = [str(Crop(kind, 3.0, 5)) for kind in ("whole", "crops", "both")]
    assert words == ["whole recordings", "5 crops of 3 s", "whole recordings and 5 crops of 3 s"]
