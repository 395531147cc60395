import numpy as np
import pytest
import torch
from torch import nn

from inference.tiny_model import RATE, tiny_model, voice
from speaker_id.contracts import FloatArray
from speaker_id.errors import CheckpointError, ConfigError, NoSpeech, TooShort
from speaker_id.inference import embedder as embedder_module
from speaker_id.inference.embedder import ModelEmbedder, usable_device
from speaker_id.vad.energy import Energy
from speaker_id.vad.stretches import cut


@pytest.fixture(scope="module")
def embedder() -> ModelEmbedder:
    return ModelEmbedder(tiny_model())


@pytest.fixture(scope="module")
def recordings() -> list[FloatArray]:
    seconds = [1.0, 0.7, 1.0, 2.31, 0.5, 0.75, 1.04, 1.0, 3.0]
    return [voice(100.0 + 17 * i, length) for i, length in enumerate(seconds)]


def test_an_embedding_does_not_depend_on_its_batch_mates(embedder: ModelEmbedder, recordings: list[FloatArray]) -> None:
    together = embedder(recordings)
    alone = np.concatenate([embedder([recording]) for recording in recordings])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(recordings))
    np.testing.assert_allclose(embedder([recordings[i] for i in order]), together[order], atol=1e-5)
    # Proof that the comparison can fail: different recordings do have different embeddings.
    distances = np.linalg.norm(together[:, None] - together, axis=-1) + np.eye(len(together))
    assert distances.min() > 1e-3


def test_rows_are_unit_float32_vectors(embedder: ModelEmbedder, recordings: list[FloatArray]) -> None:
    embeddings = embedder(recordings)
    assert embeddings.shape == (len(recordings), embedder.dim) == (9, 12)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


def test_no_recordings_give_no_rows(embedder: ModelEmbedder) -> None:
    assert embedder([]).shape == (0, 12)


def test_the_embedding_is_that_of_the_model_in_eval_mode_on_whole_tenths_of_a_second() -> None:
    loaded = tiny_model()
    waveform = voice(120.0, 1.29)
    with torch.no_grad():
        expected = loaded.embedding_model(loaded.feature(torch.from_numpy(waveform[None, : round(1.2 * RATE)])))[0]
    loaded.embedding_model.train()
    row = ModelEmbedder(loaded)([waveform])[0]
    np.testing.assert_allclose(row, (expected / expected.norm()).numpy(), atol=1e-6)


class Dropping(nn.Module):
    """A feature that drops out in training, as encoders do."""

    def __init__(self, feature: nn.Module) -> None:
        super().__init__()
        self.feature, self.dropout, self.sample_rate = feature, nn.Dropout(0.5), RATE

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        dropped: torch.Tensor = self.dropout(self.feature(waveforms))
        return dropped


def test_a_feature_that_was_left_in_training_mode_is_used_in_eval_mode(recordings: list[FloatArray]) -> None:
    loaded = tiny_model()
    dropping = loaded._replace(feature=Dropping(loaded.feature).train())
    np.testing.assert_array_equal(ModelEmbedder(dropping)(recordings), ModelEmbedder(loaded)(recordings))


def test_a_recording_over_the_batch_budget_is_embedded_whole(
    embedder: ModelEmbedder, recordings: list[FloatArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = embedder(recordings)
    monkeypatch.setattr(embedder_module, "MAX_BATCH_SECONDS", 0.6)
    np.testing.assert_allclose(embedder(recordings), expected, atol=1e-5)


def test_half_a_second_is_enough_and_one_sample_less_is_too_short(embedder: ModelEmbedder) -> None:
    enough = voice(150.0, 0.5)
    assert embedder([enough]).shape == (1, 12)
    with pytest.raises(TooShort, match=r"recording 2 of 2 is 0\.400 s long, at least 0\.5 s"):
        embedder([enough, enough[: round(0.4 * RATE)]])
    with pytest.raises(TooShort):
        embedder([enough[:-1]])


def test_silence_is_refused_instead_of_scored(embedder: ModelEmbedder) -> None:
    with pytest.raises(NoSpeech, match="recording 1 of 1 is silent"):
        embedder([np.zeros(RATE, np.float32)])


def test_broken_weights_raise_instead_of_giving_nan() -> None:
    loaded = tiny_model()
    with torch.no_grad():
        for parameter in loaded.embedding_model.projection.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(CheckpointError, match="not finite"):
        ModelEmbedder(loaded)([voice(100.0)])


def test_a_model_that_gives_zeros_raises() -> None:
    loaded = tiny_model()
    last = loaded.embedding_model.projection.layers[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    with pytest.raises(CheckpointError, match="zero"):
        ModelEmbedder(loaded)([voice(100.0)])


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="'abacus'"):
        ModelEmbedder(tiny_model(), device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda'"):
            ModelEmbedder(tiny_model(), device="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU, which auto takes")
def test_without_a_gpu_auto_is_the_cpu() -> None:
    assert usable_device("auto") == usable_device("cpu") == torch.device("cpu")


# A model whose training saw no pauses


PAUSE = np.zeros(RATE, np.float32)


@pytest.fixture(scope="module")
def cutting() -> ModelEmbedder:
    return ModelEmbedder(tiny_model()._replace(vad=Energy(min_pause_seconds=0.2, pad_seconds=0.05)))


def test_pauses_do_not_change_the_embedding_where_they_are_cut(embedder: ModelEmbedder, cutting: ModelEmbedder) -> None:
    waveform = np.concatenate([PAUSE, voice(120, 1.5), PAUSE, PAUSE, voice(120, 1.0), PAUSE])
    speech = cut(waveform, Energy(min_pause_seconds=0.2, pad_seconds=0.05)(waveform, RATE))
    assert 2.5 * RATE <= len(speech) <= 2.75 * RATE
    np.testing.assert_array_equal(cutting([waveform]), embedder([speech]))
    assert float((embedder([waveform]) * embedder([speech])).sum()) < 0.999  # elsewhere they do


def test_parts_are_embedded_as_they_are(embedder: ModelEmbedder, cutting: ModelEmbedder) -> None:
    waveform = np.concatenate([voice(120, 1.0), PAUSE])
    np.testing.assert_array_equal(cutting.embed_parts([waveform]), embedder([waveform]))


def test_what_is_left_must_be_speech_and_long_enough_and_is_called_by_its_name(cutting: ModelEmbedder) -> None:
    good, faint = voice(120, 1.0), (0.01 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    with pytest.raises(NoSpeech, match=r"^b\.wav holds no speech"):
        cutting([good, faint], names=["a.wav", "b.wav"])
    with pytest.raises(NoSpeech, match=r"^recording 2 of 2 holds no speech"):
        cutting([good, faint])
    with pytest.raises(TooShort, match=r"^b\.wav holds 0\.\d\d s of speech, at least 0\.5 s are needed"):
        cutting([good, np.concatenate([PAUSE, voice(120, 0.3), PAUSE])], names=["a.wav", "b.wav"])
    with pytest.raises(NoSpeech, match=r"^b\.wav is silent"):
        cutting([good, PAUSE], names=["a.wav", "b.wav"])
