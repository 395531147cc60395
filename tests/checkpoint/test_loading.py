import copy
import os
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inference.tiny_model import BACKBONE, FEATURE, POINT, POOLING, PROJECTION, tiny_bundle, tiny_model, voice
from speaker_id import build, checkpoint
from speaker_id.checkpoint import KEY, PREFIX, LoadedModel
from speaker_id.errors import CheckpointError

Description = dict[str, Any]
Change = Callable[[Description], Any]
tiny = cache(tiny_model)  # never changed here, and slower to make than to load


def content(*, seed: int = 0, change: Change | None = None) -> dict[str, Any]:
    """What a training run saves, without optimiser and loops: the model, the loss's own weights, the description."""
    made = tiny(seed=seed)
    weights = {PREFIX + name: tensor for name, tensor in made.embedding_model.state_dict().items()}
    description = copy.deepcopy(checkpoint.describe(made.config, ["ann", "张伟"], POINT))
    if change is not None:
        change(description)
    return {"state_dict": {**weights, "loss.head.weight": torch.ones(2, 12)}, KEY: description}


def saved(path: Path, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content(**how), path)
    return path


def embeddings(loaded: LoadedModel) -> Tensor:
    waveforms = torch.from_numpy(np.stack([voice(110.0), voice(190.0)]))
    with torch.inference_mode():
        result: Tensor = loaded.embedding_model(loaded.feature(waveforms))
    return result


def refused(path: Path, *reasons: str) -> str:
    """Loading `path` must raise our error with its name; returns the message."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert str(path) in message
    for reason in reasons:
        assert reason in message
    return message


def test_a_training_checkpoint_comes_back_as_the_model_that_was_saved(tmp_path: Path) -> None:
    loaded = checkpoint.load(saved(tmp_path / "best.ckpt"))
    torch.testing.assert_close(embeddings(loaded), embeddings(tiny()), rtol=0, atol=0)
    assert loaded.speakers == ["ann", "张伟"]
    assert loaded.operating_point == POINT
    assert loaded.config == tiny().config
    assert not loaded.embedding_model.training
    assert not loaded.feature.training


def test_a_bundle_gives_the_same_embeddings_and_fingerprint_as_the_checkpoint(tmp_path: Path) -> None:
    trained = checkpoint.load(saved(tmp_path / "best.ckpt"))
    folder = checkpoint.save_bundle(trained, tmp_path / "new" / "bundle")
    bundled = checkpoint.load(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "model.safetensors"]
    torch.testing.assert_close(embeddings(bundled), embeddings(trained), rtol=0, atol=0)
    assert bundled._replace(feature=trained.feature, embedding_model=trained.embedding_model) == trained


def test_a_model_without_an_operating_point_has_none_after_loading(tmp_path: Path) -> None:
    loaded = checkpoint.load(saved(tmp_path / "a.ckpt", change=lambda d: d.update(operating_point=None)))
    assert loaded.operating_point is None
    assert checkpoint.load(checkpoint.save_bundle(loaded, tmp_path / "b")).operating_point is None


def test_a_threshold_typed_by_hand_as_a_whole_number_is_read(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    (folder / "config.yaml").write_text(text.replace("threshold: 0.9", "threshold: 1"), encoding="utf-8")
    point = checkpoint.load(folder).operating_point
    assert point is not None
    assert point.threshold == 1.0


def test_the_fingerprint_is_of_weights_and_feature_and_nothing_else(tmp_path: Path) -> None:
    first = checkpoint.load(saved(tmp_path / "a.ckpt")).fingerprint
    assert len(first) == 64
    renamed = saved(tmp_path / "b.ckpt", change=lambda d: d.update(speakers=["x"], operating_point=None))
    assert checkpoint.load(renamed).fingerprint == first
    feature = saved(tmp_path / "c.ckpt", change=lambda d: d["feature"].update(f_min=21.0))
    assert checkpoint.load(feature).fingerprint != first
    changed = content()
    name = next(name for name in changed["state_dict"] if name.endswith("running_mean"))
    changed["state_dict"][name] = changed["state_dict"][name].clone()
    changed["state_dict"][name][0] += 1e-6
    torch.save(changed, tmp_path / "d.ckpt")
    assert checkpoint.load(tmp_path / "d.ckpt").fingerprint != first


def test_the_fingerprint_does_not_depend_on_the_order_of_options_or_weights(tmp_path: Path) -> None:
    given = content()
    turned = copy.deepcopy(given)
    turned["state_dict"] = dict(reversed(turned["state_dict"].items()))
    turned[KEY]["feature"] = dict(reversed(turned[KEY]["feature"].items()))
    turned[KEY]["model"] = dict(reversed(turned[KEY]["model"].items()))
    for name, what in (("a", given), ("b", turned)):
        torch.save(what, tmp_path / f"{name}.ckpt")
    assert checkpoint.load(tmp_path / "a.ckpt").fingerprint == checkpoint.load(tmp_path / "b.ckpt").fingerprint


def test_a_run_folder_stands_for_its_best_and_else_its_last_checkpoint(tmp_path: Path) -> None:
    last = saved(tmp_path / "checkpoints" / "last.ckpt", seed=1)
    assert checkpoint.resolve(tmp_path) == last
    best = saved(tmp_path / "checkpoints" / "best.ckpt", seed=2)
    assert checkpoint.resolve(tmp_path) == best
    assert checkpoint.resolve(tmp_path / "checkpoints") == best
    assert checkpoint.resolve(last) == last
    torch.testing.assert_close(embeddings(checkpoint.load(tmp_path)), embeddings(tiny(seed=2)))


def test_what_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such file or folder")
    refused(tmp_path, "is this a run folder?")


# --- files that are hostile -------------------------------------------------------------------------------------------


def write_file(path: str) -> dict[str, Any]:
    """A description of our own function that would write a file: the prefix alone is no protection."""
    return {
        "_target_": "speaker_id.data.lists.write_list",
        "path": {"_target_": "speaker_id.contracts.as_path", "source": path},
        "rows": [["pwned", "pwned"]],
    }


@pytest.mark.parametrize("group", ["feature", "model.backbone", "model.projection", "pooling", "model.deeper", "list"])
@pytest.mark.parametrize("kind", ["os.system", "os through ours", "our function", "interpolation"])
def test_a_description_cannot_run_anything(tmp_path: Path, group: str, kind: str) -> None:
    mark = tmp_path / "pwned"
    node: Any = {
        "os.system": {"_target_": "os.system", "command": f"touch {mark}"},
        "os through ours": {"_target_": "speaker_id.audio.os.system", "command": f"touch {mark}"},
        "our function": write_file(str(mark)),
        "interpolation": f"${{oc.create:{{_target_:speaker_id.contracts.as_path,source:{mark}}}}}",
    }[kind]

    def change(description: Description) -> None:
        if group == "list":
            description["model"]["backbone"]["kernel_sizes"] = [5, [node]]
        elif group == "model.deeper":
            description["model"]["backbone"]["channels"] = {"a": {"b": node}}
        else:
            *parents, leaf = group.split(".")
            parent = description[parents[0]] if parents else description
            parent[leaf] = node if isinstance(node, dict) else {**parent[leaf], "n": node}

    refused(saved(tmp_path / "x.ckpt", change=change), "speaker_id")
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "speaker_id.model.ecapa.nn.Module",  # ours only by the way to it
        "speaker_id.model.ecapa.torch.load",
        "speaker_id.model.xvector.ConvReluNorm",  # ours, by another name than its own
        "speaker_id.pooling.StatisticsPooling.forward",
        "speaker_id.feature.fbank.Missing",
        "speaker_id.feature.missing.Fbank",
        "speaker_id.feature.normalise.normalise",
        "speaker_id.feature.",
        "speaker_id.training.module.SpeakerModule",
        "speaker_id.pooling",
        "speaker_idx.model.Foreign",
        "",
        7,
        None,
    ],
)
def test_only_modules_that_our_packages_define_are_built(tmp_path: Path, target: Any) -> None:
    path = saved(tmp_path / "x.ckpt", change=lambda d: d["feature"].update(_target_=target))
    refused(path, f"names {target!r} to be built")


@pytest.mark.parametrize("key", ["_partial_", "_recursive_", "_convert_", "_args_", "_new_in_a_later_hydra_"])
def test_keys_that_steer_construction_are_refused(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path / "x.ckpt", change=lambda d: d["model"]["projection"].update({key: True}))
    refused(path, "a key that steers construction")


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("where", ["state_dict", KEY, "optimizer_states"])
def test_a_pickled_object_is_refused_and_does_not_run(tmp_path: Path, where: str) -> None:
    mark = tmp_path / "pwned"
    made = content()
    made.setdefault(where, {})["x"] = Bomb(mark)
    torch.save(made, tmp_path / "x.ckpt")
    assert "weights_only" not in refused(tmp_path / "x.ckpt", "holds more than weights and plain values")
    (tmp_path / "y.ckpt").write_bytes(pickle.dumps(Bomb(mark), protocol=2))
    refused(tmp_path / "y.ckpt", "not a readable checkpoint")
    assert not mark.exists()
    torch.load(tmp_path / "x.ckpt", weights_only=False)  # proof that the bomb is live
    assert mark.exists()


def test_a_yaml_tag_in_a_bundle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    mark = tmp_path / "pwned"
    (folder / "config.yaml").write_text(f"format: !!python/object/apply:os.mkdir [{mark}]\n", encoding="utf-8")
    refused(folder, "config.yaml", "not readable YAML")
    assert not mark.exists()


# --- files that are damaged, or of something else ---------------------------------------------------------------------


def test_a_checkpoint_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.ckpt").read_bytes()
    for part in (0.0, 0.001, 0.01, 0.3, 0.9, 0.999):
        (tmp_path / "cut.ckpt").write_bytes(whole[: int(part * len(whole))])
        refused(tmp_path / "cut.ckpt", "not a readable checkpoint", "cut off")


def test_bytes_damaged_at_random_give_our_error_and_no_other(tmp_path: Path) -> None:
    lacking = {"state_dict": {"a": torch.ones(3)}, KEY: {"format": 1}}
    torch.save(lacking, tmp_path / "x.ckpt")
    torch.save(lacking, tmp_path / "y.ckpt", _use_new_zipfile_serialization=False)
    rng = np.random.default_rng(0)
    for name in ("x", "y"):
        whole = np.frombuffer((tmp_path / f"{name}.ckpt").read_bytes(), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[rng.integers(0, min(400, len(whole)), size=2)] = rng.integers(0, 256, size=2)
            (tmp_path / "damaged.ckpt").write_bytes(damaged.tobytes())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch remarks on unknown pickle protocols
                refused(tmp_path / "damaged.ckpt")


@pytest.mark.parametrize("text", [b"", b"hello\n", b"PK\x03\x04", b"RIFF\x00\x00\x00\x00WAVE", b"\x80\x02.", b"N."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.ckpt").write_bytes(text)
    refused(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    "foreign",
    [
        {"state_dict": {"encoder.weight": torch.ones(2)}, "epoch": 3},
        {"encoder.weight": torch.ones(2)},
        {KEY: {}},
        {KEY: {}, "state_dict": None},
        [torch.ones(2)],
        torch.ones(2),
        None,
    ],
)
def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path, foreign: Any) -> None:
    torch.save(foreign, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "another program")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format=3), "format 3, this version reads up to 2; update speaker_id"),
        (lambda d: d.pop("format"), "lacks format"),
        (lambda d: (d.pop("pooling"), d.pop("speakers")), "lacks pooling, speakers"),
        (lambda d: d.clear(), "lacks feature, format, model, operating_point, pooling, speakers"),
        (lambda d: d.update(feature="fbank"), "feature names no class"),
        (lambda d: d.update(feature={}), "feature names no class"),
        (lambda d: d.update(pooling=[]), "pooling names no class"),
        (lambda d: d.update(model=None), "model names no class"),
        (lambda d: d["model"].pop("projection"), "model.projection names no class"),
        (lambda d: d["model"].update(backbone=3), "model.backbone names no class"),
        (lambda d: d.update(speakers="ann"), "its speakers are no list"),
        (lambda d: d.update(operating_point=0.3), "operating point"),
        (lambda d: d.update(operating_point={"threshold": "0.3", "source": ""}), "operating point"),
        (lambda d: d.update(operating_point={"threshold": 0.3}), "operating point"),
        (lambda d: d["feature"].update(n_mel=24), "has no option 'n_mel'"),
        (lambda d: d["feature"].update(n_mels="many"), "cannot be built"),
        (lambda d: d["model"]["backbone"].pop("scale"), "cannot be built"),
        (lambda d: d["model"]["projection"].update(dim=13), "do not fit its own description"),
    ],
)
def test_a_description_that_says_something_else_is_refused(tmp_path: Path, change: Change, reason: str) -> None:
    refused(saved(tmp_path / "x.ckpt", change=change), reason)


@pytest.mark.parametrize("description", [None, [], "text", 3])
def test_a_description_that_is_none_is_refused(tmp_path: Path, description: Any) -> None:
    torch.save({**content(), KEY: description}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "lacks")
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "config.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    refused(folder, "lacks")


def test_missing_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    for name, change in [
        ("less", lambda weights: weights.pop(PREFIX + "projection.layers.1.weight")),
        ("more", lambda weights: weights.update({PREFIX + "extra": torch.ones(1)})),
    ]:
        made = content()
        change(made["state_dict"])
        torch.save(made, tmp_path / f"{name}.ckpt")
        refused(tmp_path / f"{name}.ckpt", "the weights do not fit its own description")


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\xff" * 100, b"\x0a\x00\x00\x00\x00\x00\x00\x00{not json."])
def test_a_bundle_with_garbage_for_weights_is_refused(tmp_path: Path, garbage: bytes) -> None:
    folder = tiny_bundle(tmp_path)
    (folder / "model.safetensors").write_bytes(garbage)
    refused(folder, "not readable")


def test_a_bundle_with_cut_off_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-1])
    refused(folder, "not readable")


@pytest.mark.parametrize("garbage", [b"a: [", b"\xff\xfe\x00garbage", b"\x00"])
def test_a_bundle_with_garbage_for_its_config_is_refused(tmp_path: Path, garbage: bytes) -> None:
    folder = tiny_bundle(tmp_path)
    (folder / "config.yaml").write_bytes(garbage)
    refused(folder, "config.yaml")


def test_a_bundle_without_its_config_is_refused(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path)
    (folder / "config.yaml").unlink()
    refused(folder, "a bundle needs config.yaml and model.safetensors")


# --- saving that fails ------------------------------------------------------------------------------------------------


def half_written(weights: dict[str, Tensor], path: Path) -> None:
    Path(path).write_bytes(b"half")
    raise OSError(28, "No space left on device")


def refused_by_safetensors(weights: dict[str, Tensor], path: Path) -> None:
    Path(path).write_bytes(b"half")
    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("failure", [half_written, refused_by_safetensors])
def test_a_full_disk_leaves_the_old_bundle_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Callable[..., None]
) -> None:
    folder = tiny_bundle(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("speaker_id.checkpoint.writing.save_file", failure)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        tiny_bundle(folder, seed=1)
    assert str(folder) in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_disk_that_fills_up_with_the_config_leaves_the_old_bundle_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_bundle(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path: Path, text: str, encoding: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CheckpointError, match="No space left"):
        tiny_bundle(folder, seed=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_new_bundle_replaces_the_old_one(tmp_path: Path) -> None:
    tiny_bundle(tmp_path, seed=0)
    tiny_bundle(tmp_path, seed=1)
    torch.testing.assert_close(embeddings(checkpoint.load(tmp_path)), embeddings(tiny(seed=1)), rtol=0, atol=0)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_where_the_bundle_should_go_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write the bundle"):
        tiny_bundle(tmp_path / "file")


# --- starting from weights --------------------------------------------------------------------------------------------


def other_model(*, dim: int = 12, channels: int = 16) -> nn.Module:
    model = {"backbone": {**BACKBONE, "channels": channels}, "projection": {**PROJECTION, "dim": dim}}
    return build.embedding_model(model, POOLING, FEATURE["n_mels"])


@pytest.mark.parametrize("form", ["ckpt", "bundle", "run"])
@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_all_fit_are_all_loaded(tmp_path: Path, form: str, strict: bool) -> None:
    path = {
        "ckpt": lambda: saved(tmp_path / "a.ckpt"),
        "bundle": lambda: tiny_bundle(tmp_path / "bundle"),
        "run": lambda: saved(tmp_path / "run" / "checkpoints" / "best.ckpt").parents[1],
    }[form]()
    model = other_model()
    assert checkpoint.load_weights(model, path, strict=strict) == {}
    for name, tensor in tiny().embedding_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_strict_load_names_the_first_misfit_and_changes_nothing(tmp_path: Path) -> None:
    model = other_model(dim=13)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_weights(model, saved(tmp_path / "a.ckpt"), strict=True)
    message = str(caught.value)
    assert "a.ckpt: 2 weights do not fit, the first: projection.layers.1.weight" in message
    assert "(12, 48) in the checkpoint, (13, 48) in this model" in message
    assert "pretrained_strict=false" in message
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


def test_a_partial_load_takes_what_fits_and_says_why_the_rest_does_not(tmp_path: Path) -> None:
    made = content()
    del made["state_dict"][PREFIX + "projection.layers.0.weight"]
    made["state_dict"][PREFIX + "old.weight"] = torch.ones(3)
    torch.save(made, tmp_path / "a.ckpt")
    model = other_model(dim=13)
    before = copy.deepcopy(model.state_dict())
    reasons = checkpoint.load_weights(model, tmp_path / "a.ckpt", strict=False)
    assert reasons == {
        "projection.layers.0.weight": "not in the checkpoint",
        "old.weight": "not in this model",
        "projection.layers.1.weight": "shape (12, 48) in the checkpoint, (13, 48) in this model",
        "projection.layers.1.bias": "shape (12,) in the checkpoint, (13,) in this model",
    }
    for name, tensor in model.state_dict().items():
        expected = before[name] if name in reasons else made["state_dict"][PREFIX + name]
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)


def test_the_bundle_holds_the_weights_under_the_names_of_the_model(tmp_path: Path) -> None:
    weights = load_file(tiny_bundle(tmp_path) / "model.safetensors")
    assert set(weights) == set(tiny().embedding_model.state_dict())
    assert {name.split(".")[0] for name in weights} == {"backbone", "pooling", "projection"}
    save_file(weights, tmp_path / "again.safetensors")  # nothing in it shares memory or is not contiguous


# --- features that have weights ---------------------------------------------------------------------------------------

SSL = {
    "_target_": "speaker_id.feature.ssl.SslEncoder",
    "name": "nobody/nothing",
    "layers": "all",
    "fine_tune": False,
    "freeze_cnn": True,
    "normalise": "mean",
    "normalise_waveform": True,
    "encoder": {
        "model_type": "wavlm",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "conv_dim": [8] * 7,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
}


@cache
def ssl_model(seed: int = 0) -> LoadedModel:
    """A model over an encoder of random weights; the hub knows nothing of it."""
    pytest.importorskip("transformers")
    torch.manual_seed(seed)
    feature: Any = build.feature(SSL)
    nn.init.normal_(feature.layer_weights)
    config = {**tiny().config, "feature": {**SSL, **feature.resolved}}
    model = build.embedding_model(config["model"], config["pooling"], 16)
    return LoadedModel(feature, model.eval(), POINT, config, ["a", "b"], "0" * 64)


def saved_ssl(path: Path, *, seed: int = 0, change: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    made = ssl_model(seed)
    weights = {PREFIX + name: tensor for name, tensor in made.embedding_model.state_dict().items()}
    weights |= {f"feature.{name}": tensor for name, tensor in made.feature.state_dict().items()}
    whole = {"state_dict": weights, KEY: copy.deepcopy(checkpoint.describe(made.config, made.speakers, POINT))}
    if change is not None:
        change(whole)
    torch.save(whole, path)
    return path


@pytest.fixture
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")

    def ask(*args: Any, **how: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", ask)


@pytest.mark.usefixtures("_no_hub")
def test_a_checkpoint_and_a_bundle_hold_the_encoder_and_need_nothing_else(tmp_path: Path) -> None:
    trained = checkpoint.load(saved_ssl(tmp_path / "a.ckpt"))
    bundled = checkpoint.load(checkpoint.save_bundle(trained, tmp_path / "bundle"))
    assert trained.config == ssl_model().config
    assert bundled.fingerprint == trained.fingerprint
    for loaded in (trained, bundled):
        assert not loaded.feature.training
        torch.testing.assert_close(embeddings(loaded), embeddings(ssl_model()), rtol=0, atol=0)


def test_the_fingerprint_is_of_the_features_weights_too(tmp_path: Path) -> None:
    def nudge(whole: dict[str, Any]) -> None:
        whole["state_dict"]["feature.layer_weights"] = whole["state_dict"]["feature.layer_weights"] + 1e-3

    first, same = (checkpoint.load(saved_ssl(tmp_path / f"{name}.ckpt")).fingerprint for name in "ab")
    assert first == same
    assert checkpoint.load(saved_ssl(tmp_path / "c.ckpt", change=nudge)).fingerprint != first


def test_weights_of_the_feature_that_are_missing_or_foreign_are_refused(tmp_path: Path) -> None:
    for name, change in {
        "none": lambda w: [w.pop(key) for key in list(w) if key.startswith("feature.")],
        "less": lambda w: w.pop("feature.layer_weights"),
        "more": lambda w: w.update({"feature.extra": torch.ones(1)}),
        "wide": lambda w: w.update({"feature.layer_weights": torch.ones(4)}),
    }.items():
        path = saved_ssl(tmp_path / f"{name}.ckpt", change=lambda whole, change=change: change(whole["state_dict"]))
        refused(path, "the weights do not fit its own description")
    plain = content()
    plain["state_dict"]["feature.extra"] = torch.ones(1)
    torch.save(plain, tmp_path / "plain.ckpt")
    refused(tmp_path / "plain.ckpt", "the weights do not fit its own description")


@pytest.mark.usefixtures("_no_hub")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder": None}, "its feature lacks encoder; it was not written by speaker_id"),
        ({"normalise_waveform": None}, "its feature lacks normalise_waveform"),
        ({"encoder": {}}, "its model cannot be built: feature.encoder: a model of type None"),
        ({"encoder": "microsoft/wavlm-base"}, "cannot be built"),
        ({"encoder": {**SSL["encoder"], "model_type": "auto"}}, "a model of type 'auto'"),
        ({"encoder": {**SSL["encoder"], "hidden_size": 15}}, "cannot be built"),
        ({"encoder": {**SSL["encoder"], "hidden_act": "os.system"}}, "cannot be built"),
        ({"encoder": {**SSL["encoder"], "hidden_act": {"_target_": "os.system"}}}, "only speaker_id's own"),
        ({"encoder": {**SSL["encoder"], "_attn_implementation": "evil/kernel"}}, "steers construction"),
        ({"layers": [7]}, "feature.layers=[7]"),
    ],
)
def test_an_encoder_that_is_not_one_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    pytest.importorskip("transformers")
    refused(saved_ssl(tmp_path / "x.ckpt", change=lambda whole: whole[KEY]["feature"].update(change)), reason)


def test_what_does_not_describe_the_encoder_is_not_heeded(tmp_path: Path) -> None:
    foreign = {"attn_implementation": "evil/kernel", "auto_map": {"AutoModel": "evil.Evil"}, "dtype": "float16"}
    path = saved_ssl(tmp_path / "x.ckpt", change=lambda whole: whole[KEY]["feature"]["encoder"].update(foreign))
    torch.testing.assert_close(embeddings(checkpoint.load(path)), embeddings(ssl_model()), rtol=0, atol=0)


def test_a_run_may_start_from_the_weights_of_a_feature(tmp_path: Path) -> None:
    path = saved_ssl(tmp_path / "a.ckpt")
    other = copy.deepcopy(ssl_model(1))
    with pytest.raises(CheckpointError, match=r"weights do not fit, the first: feature\.\S+ \(not in this model\)"):
        checkpoint.load_weights(other.embedding_model, path, strict=True)
    model, feature = other.embedding_model, other.feature
    assert checkpoint.load_weights(model, path, strict=True, feature=feature) == {}
    torch.testing.assert_close(embeddings(other), embeddings(ssl_model()), rtol=0, atol=0)


def test_a_run_may_start_from_a_part_of_a_features_weights(tmp_path: Path) -> None:
    path = saved_ssl(tmp_path / "a.ckpt")
    model = copy.deepcopy(ssl_model(1).embedding_model)
    feature: Any = build.feature({**SSL, "layers": [1]})
    reasons = checkpoint.load_weights(model, path, strict=False, feature=feature)
    assert reasons.pop("feature.layer_weights") == "shape (3,) in the checkpoint, (1,) in this model"
    assert set(reasons.values()) == {"not in this model"}
    assert all(name.startswith("feature.encoder.encoder.layers.1.") for name in reasons)
    own, given = feature.state_dict(), ssl_model().feature.state_dict()
    assert all(torch.equal(own[name], given[name]) for name in own if name != "layer_weights")
