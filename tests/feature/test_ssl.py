import json
import pickle
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from feature.tiny_ssl import FAMILIES, tiny_encoder, tiny_model
from inference.tiny_model import voice
from speaker_id import build
from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.ssl import LogMelInput, SslEncoder

transformers = pytest.importorskip("transformers")
CNN = "encoder.feature_extractor."
NOISY = {"hidden_dropout": 0.5, "attention_dropout": 0.5, "layerdrop": 0.9, "mask_time_prob": 0.9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a tiny model; made once for each kind, and to be left alone."""

    @cache
    def made(family: str = "wavlm", **changes: Any) -> Path:
        return tiny_model(tmp_path_factory.mktemp(family), family, **changes)

    return made


def ssl(name: Path | str, **changes: Any) -> SslEncoder:
    options: dict[str, Any] = {
        "layers": "all",
        "fine_tune": False,
        "freeze_cnn": True,
        "normalise": "none",
    }
    return SslEncoder(name=str(name), **{**options, **changes})


def waveforms(num_samples: int = 8000) -> Tensor:
    """(2, S) voices, one loud and off centre, in noise: mel bins of nothing but rounding differ between libraries."""
    a, b = (torch.from_numpy(voice(pitch, num_samples / 16000)) for pitch in (110.0, 190.0))
    noise = 1e-3 * torch.randn(2, num_samples, generator=torch.Generator().manual_seed(0))
    return torch.stack([a, 3 * b + 0.1]) + noise


def hidden_states(family: str, given: Tensor) -> list[Tensor]:
    """(F, T) of every layer, of the first recording, all by transformers itself: its preprocessing, its model."""
    kinds = {True: transformers.SeamlessM4TFeatureExtractor, False: transformers.Wav2Vec2FeatureExtractor}
    inputs = kinds[family == "wav2vec2-bert"]()(given[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = tiny_encoder(family)(**inputs, output_hidden_states=True)
    return [state[0].T for state in (*output.hidden_states[:-1], output.last_hidden_state)]


# --- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [8000, 8160], ids=["even", "odd"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_weight_of_one_gives_that_layers_hidden_states_of_the_library(
    folder: Callable[..., Path], family: str, num_samples: int
) -> None:
    given = waveforms(num_samples)
    feature, expected = ssl(folder(family)).eval(), hidden_states(family, given)
    assert len(feature.layer_weights) == len(expected) == 3
    for layer, states in enumerate(expected):
        with torch.no_grad():
            feature.layer_weights.fill_(-torch.inf)[layer] = 0.0
            frames = feature(given)[0]
        torch.testing.assert_close(frames, states[:, : frames.shape[1]], atol=1e-4, rtol=1e-4)
        assert states.shape[1] - frames.shape[1] <= 1  # the library pads w2v-BERT's odd frame, and masks it


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_above_the_highest_chosen_are_not_built_and_nothing_else_changes(
    folder: Callable[..., Path], family: str
) -> None:
    given = waveforms()
    expected = hidden_states(family, given)
    for highest in (0, 1, 2):
        feature = ssl(folder(family), layers=[highest]).eval()
        assert len(feature.encoder.encoder.layers) == highest
        with torch.no_grad():
            torch.testing.assert_close(feature(given)[0], expected[highest], atol=1e-4, rtol=1e-4)


def test_the_weights_are_a_softmax_over_the_chosen_layers(folder: Callable[..., Path]) -> None:
    given = waveforms()
    states = hidden_states("wavlm", given)
    feature = ssl(folder(), layers=[2, 0]).eval()
    with torch.no_grad():
        torch.testing.assert_close(feature(given)[0], (states[2] + states[0]) / 2, atol=1e-4, rtol=1e-4)
        feature.layer_weights.copy_(torch.tensor([3.0, 1.0]).log())
        torch.testing.assert_close(feature(given)[0], 0.75 * states[2] + 0.25 * states[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_embedding_of_one_recording_does_not_depend_on_its_batch_mates(
    folder: Callable[..., Path], family: str
) -> None:
    given, feature = waveforms(), ssl(folder(family)).eval()
    alone = torch.cat([feature(row[None]) for row in given])
    torch.testing.assert_close(feature(given), alone, atol=2e-5, rtol=1e-5)
    assert torch.equal(feature(given), feature(given))


@pytest.mark.parametrize("family", FAMILIES)
def test_silence_is_finite_and_the_waveforms_are_left_as_they_were(folder: Callable[..., Path], family: str) -> None:
    feature, given = ssl(folder(family), fine_tune=True, freeze_cnn=False).train(), waveforms()
    kept = given.clone()
    feature(given)
    assert torch.equal(given, kept)
    assert not given.requires_grad
    assert bool(feature(torch.zeros(1, 8000)).isfinite().all())


@pytest.mark.parametrize(("family", "least"), [("wavlm", 400), ("wav2vec2-bert", 560)])
def test_a_frame_is_a_fiftieth_of_a_second_and_less_than_one_is_refused(
    folder: Callable[..., Path], family: str, least: int
) -> None:
    feature = ssl(folder(family)).eval()
    assert (feature.sample_rate, feature.out_dim) == (16000, 16)
    assert [feature(torch.zeros(1, samples)).shape for samples in (least, 16000)] == [(1, 16, 1), (1, 16, 49)]
    with pytest.raises(TooShort, match=f"{least - 1} samples are less than one frame of {least}; record more"):
        feature(torch.zeros(1, least - 1))


@pytest.mark.parametrize("normalise", ["mean", "mean_variance"])
def test_the_sum_is_normalised_over_time(folder: Callable[..., Path], normalise: str) -> None:
    frames = ssl(folder(), normalise=normalise).eval()(waveforms())
    torch.testing.assert_close(frames.mean(dim=-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
    if normalise == "mean_variance":
        torch.testing.assert_close(frames.std(dim=-1, correction=0), torch.ones(2, 16), atol=1e-3, rtol=0)


def test_the_waveform_is_normalised_if_the_models_preprocessing_says_so(folder: Callable[..., Path]) -> None:
    given = waveforms()

    def level_matters(feature: SslEncoder) -> bool:
        return not torch.allclose(feature.eval()(given), feature(0.1 * given + 0.2), atol=1e-3)

    stable = "wavlm-stable"  # group norm would hide the level
    assert not level_matters(ssl(folder(stable)))
    assert level_matters(ssl(folder(stable, do_normalize=False)))
    assert level_matters(ssl(folder(stable), normalise_waveform=False))
    assert not level_matters(ssl(folder(stable, do_normalize=False), normalise_waveform=True))


@pytest.mark.parametrize("num_samples", [8000, 8160], ids=["even", "odd"])
def test_the_log_mel_input_is_that_of_the_library(num_samples: int) -> None:
    given = waveforms(num_samples)
    library = transformers.SeamlessM4TFeatureExtractor()
    for row, own in zip(given, LogMelInput({"feature_projection_input_dim": 160})(given), strict=True):
        expected = library(row.numpy(), sampling_rate=16000, return_tensors="pt")["input_features"][0]
        assert own.shape == (24, 160)
        torch.testing.assert_close(own, expected[:24], atol=5e-4, rtol=0)


def test_the_log_mel_input_is_float32_under_autocast() -> None:
    made = LogMelInput({"feature_projection_input_dim": 160})
    with torch.autocast("cpu", torch.bfloat16):
        mixed = made(waveforms())
    torch.testing.assert_close(mixed, made(waveforms()), atol=0, rtol=0)


# --- what learns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["wavlm", "wav2vec2-bert"])
def test_a_frozen_encoder_stays_in_eval_mode_and_the_layer_weights_alone_learn(
    folder: Callable[..., Path], family: str
) -> None:
    feature = ssl(folder(family, **NOISY)).train()
    assert [name for name, parameter in feature.named_parameters() if parameter.requires_grad] == ["layer_weights"]
    assert torch.equal(feature(waveforms()), feature.eval()(waveforms()))
    feature.train()(waveforms())[:, 3].sum().backward()
    assert {name for name, parameter in feature.named_parameters() if parameter.grad is not None} == {"layer_weights"}
    assert bool((feature.layer_weights.grad != 0).all())  # type: ignore[union-attr]


@pytest.mark.parametrize("freeze_cnn", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_fine_tuning_moves_every_parameter_but_those_of_the_convolutions(
    folder: Callable[..., Path], family: str, freeze_cnn: bool
) -> None:
    feature = ssl(folder(family, layerdrop=0.9, mask_time_prob=0.9), fine_tune=True, freeze_cnn=freeze_cnn).train()
    (feature(waveforms()) * torch.randn(16, 24)).square().sum().backward()
    still = {name for name, parameter in feature.named_parameters() if parameter.grad is None}
    assert still == {name for name, _ in feature.named_parameters() if freeze_cnn and name.startswith(CNN)}
    for name, parameter in feature.named_parameters():
        # Attention does not see what all keys share.
        if parameter.grad is not None and not name.endswith(("k_proj.bias", "linear_k.bias")):
            assert bool((parameter.grad != 0).any()), name


@pytest.mark.parametrize("family", ["wavlm", "wav2vec2-bert"])
def test_fine_tuning_neither_masks_frames_nor_skips_layers(folder: Callable[..., Path], family: str) -> None:
    kinds = ["hidden", "attention", "activation", "feat_proj", *(["conformer_conv"] if family != "wavlm" else [])]
    still = {f"{kind}_dropout": 0.0 for kind in kinds}
    feature = ssl(folder(family, layerdrop=0.9, mask_time_prob=0.9, **still), fine_tune=True)
    trained, used = feature.train()(waveforms()), feature.eval()(waveforms())
    torch.testing.assert_close(trained, used, atol=1e-5, rtol=0)
    assert not any("mask" in name for name, _ in feature.named_parameters())


def test_fine_tuning_drops_out_in_training_and_not_in_use(folder: Callable[..., Path]) -> None:
    feature = ssl(folder("wavlm", **NOISY), fine_tune=True).train()
    assert not torch.equal(feature(waveforms()), feature(waveforms()))
    feature.eval()
    assert torch.equal(feature(waveforms()), feature(waveforms()))


# --- what a checkpoint needs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layers", ["all", [1]], ids=str)
def test_the_resolved_options_rebuild_it_without_the_models_folder(
    folder: Callable[..., Path], family: str, layers: Any
) -> None:
    feature = ssl(folder(family), layers=layers).eval()
    torch.nn.init.normal_(feature.layer_weights)
    assert json.loads(json.dumps(feature.resolved)) == feature.resolved
    config = {"_target_": "speaker_id.feature.ssl.SslEncoder", "name": "gone", "layers": layers, "normalise": "none"}
    again: Any = build.feature({**config, "fine_tune": False, "freeze_cnn": True, **feature.resolved})
    assert again.resolved == feature.resolved
    again.load_state_dict(feature.state_dict(), strict=True)
    assert torch.equal(again(waveforms()), feature(waveforms()))


# --- models that cannot be had ----------------------------------------------------------------------------------------


def copied(source: Path, target: Path, **changes: Any) -> Path:
    """A model's folder with another config.json, weights and all."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    config = json.loads((source / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **changes}))
    return target


def refused(name: Path | str, *reasons: str, **changes: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        ssl(name, **changes)
    for reason in reasons:
        assert reason in str(caught.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("transformers", "huggingface_hub", "huggingface_hub.errors"):
        monkeypatch.setitem(sys.modules, missing, None)
    refused("microsoft/wavlm-base", "pip install 'speaker-id[ssl]'")
    refused("gone", "pip install 'speaker-id[ssl]'", encoder={"model_type": "wavlm"})


@pytest.mark.parametrize("name", ["/nowhere/model", "nobody/nothing", "a/b/c"])
def test_a_model_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(name, f"feature.name={name!r}: no such folder, and the Hugging Face hub cannot give it")


def test_a_hub_without_a_network_is_not_asked_for_a_folder(folder: Callable[..., Path], tmp_path: Path) -> None:
    refused(tmp_path, f"{tmp_path}/config.json: not readable")
    (tmp_path / "config.json").write_text("{")
    refused(tmp_path, f"{tmp_path}/config.json: not readable")


def test_weights_come_from_the_hub_by_safetensors_and_else_by_the_bin(
    folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def snapshot(name: str, *, allow_patterns: list[str]) -> str:
        assert name == "somebody/wavlm"
        asked.append(allow_patterns)
        return str(served)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    served = folder()
    expected = ssl("somebody/wavlm").eval()(waveforms())
    assert asked == [["config.json", "preprocessor_config.json", "model*.safetensors*"]]
    served = copied(folder(), tmp_path / "bin")
    torch.save(load_file(served / "model.safetensors"), served / "pytorch_model.bin")
    (served / "model.safetensors").unlink()
    torch.testing.assert_close(ssl("somebody/wavlm").eval()(waveforms()), expected, atol=0, rtol=0)
    assert asked[2] == ["config.json", "preprocessor_config.json", "pytorch_model*.bin*"]


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_nothing_that_comes_with_a_model_runs(folder: Callable[..., Path], tmp_path: Path) -> None:
    mark = tmp_path / "pwned"
    code = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Config"}
    given = copied(folder(), tmp_path / "code", auto_map=code, _attn_implementation="evil/kernel", model_file=str(mark))
    (given / "evil.py").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n")
    assert "auto_map" not in ssl(given).resolved["encoder"]
    (given / "model.safetensors").unlink()
    for write in (torch.save, lambda what, path: path.write_bytes(pickle.dumps(what, protocol=2))):
        write({"x": Bomb(mark)}, given / "pytorch_model.bin")
        refused(given, "the model's weights cannot be loaded: its .bin holds more than weights")
    assert not mark.exists()
    torch.save(Bomb(mark), tmp_path / "bomb")
    torch.load(tmp_path / "bomb", weights_only=False)
    assert mark.exists()  # proof that the bomb is live


def test_weights_that_are_not_all_there_are_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    given = copied(folder(), tmp_path / "less")
    weights = load_file(given / "model.safetensors")
    del weights["encoder.layers.1.attention.q_proj.weight"]
    save_file(weights, given / "model.safetensors", metadata={"format": "pt"})
    refused(given, "lack 1 of the encoder's, the first: encoder.layers.1.attention.q_proj.weight")
    ssl(given, layers=[1])  # needs no more than there is
    refused(copied(folder(), tmp_path / "wide", hidden_size=32), "the model's weights cannot be loaded")
    (given / "model.safetensors").write_bytes(b"garbage")
    refused(given, "the model's weights cannot be loaded")
    (given / "model.safetensors").unlink()
    refused(given, "the model's weights cannot be loaded")


def test_a_model_with_a_head_gives_its_encoder_and_says_nothing(
    folder: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = copied(folder("wav2vec2"), tmp_path / "ctc")
    weights = {f"wav2vec2.{name}": tensor for name, tensor in load_file(given / "model.safetensors").items()}
    weights["lm_head.weight"] = torch.ones(32, 16)
    save_file(weights, given / "model.safetensors", metadata={"format": "pt"})
    capfd.readouterr()
    feature = ssl(given).eval()
    torch.testing.assert_close(feature(waveforms()), ssl(folder("wav2vec2")).eval()(waveforms()), atol=0, rtol=0)
    assert capfd.readouterr() == ("", "")


def test_weights_stored_in_half_precision_compute_in_float32(folder: Callable[..., Path], tmp_path: Path) -> None:
    given = copied(folder(), tmp_path / "half", dtype="float16")
    weights = {name: tensor.half() for name, tensor in load_file(given / "model.safetensors").items()}
    save_file(weights, given / "model.safetensors", metadata={"format": "pt"})
    assert {parameter.dtype for parameter in ssl(given).parameters()} == {torch.float32}


def test_configs_that_cannot_be_used_are_refused_with_the_reason(folder: Callable[..., Path], tmp_path: Path) -> None:
    refused(copied(folder(), tmp_path / "bert", model_type="bert"), "type 'bert'; feature=ssl reads wav2vec2, hubert")
    refused(copied(folder(), tmp_path / "text", hidden_size="wide"), "not the config of a wavlm model")
    refused(copied(folder(), tmp_path / "conv", conv_stride=[5, 2]), "not the config of a wavlm model")
    mel = copied(folder("wav2vec2-bert"), tmp_path / "mel", feature_projection_input_dim=80)
    refused(mel, "gives w2v-BERT 160 log mel bins, this model reads 80")
    bare = copied(folder(), tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    refused(bare, f"{bare}/preprocessor_config.json: not there", "feature.normalise_waveform=true or false")
    ssl(bare, normalise_waveform=True)


@pytest.mark.parametrize("layers", ["every", [], [0, 0], [3], [-1], [1, 3]], ids=str)
def test_layers_that_are_not_there_are_refused(folder: Callable[..., Path], layers: Any) -> None:
    refused(folder(), f"feature.layers={layers} must be all, or different numbers from 0 to 2", layers=layers)
