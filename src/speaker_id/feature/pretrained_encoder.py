"""Hugging Face's speech encoders: read from a folder or the hub, and built again from plain values without either.

No code that comes with a model runs: the classes are transformers' own, named here, and weights are safetensors, or
a .bin read with weights_only. Only values that describe the architecture are taken from a model's config.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises when it refuses; nothing is unpickled here
from typing import Any

import torch
from torch import nn

from speaker_id.contracts import as_path
from speaker_id.errors import ConfigError

FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "wav2vec2-bert": "Wav2Vec2Bert"}
WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*")  # the first of them that a model has
# Off: every layer is needed at every step, masking is feature augmentation's, and adapters change the frame rate.
OFF = {"layerdrop": 0.0, "apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0,
       "add_adapter": False, "use_intermediate_ffn_before_adapter": False}  # fmt: skip


def find_model(name: str) -> Path:
    """The folder of a model: `name` itself, or what the hub's cache or the hub has under it; raises ConfigError."""
    _library()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    if as_path(name).is_dir():
        return as_path(name)
    try:
        for weights in WEIGHTS:
            wanted = ["config.json", "preprocessor_config.json", weights]
            folder = Path(snapshot_download(name, allow_patterns=wanted))
            if any(folder.glob(weights)):
                break
    except (OSError, HFValidationError) as error:  # the hub's errors are OSErrors
        raise ConfigError(
            f"feature.name={name!r}: no such folder, and the Hugging Face hub cannot give it ({_first_line(error)}); "
            "give a folder with config.json and weights, or check the name and the network"
        ) from error
    return folder


def read_options(folder: Path) -> dict[str, Any]:
    """`model_type` and the architecture from a model's config.json, in plain values; raises ConfigError."""
    found = _read_json(folder / "config.json")
    return complete_options(found, source=str(folder / "config.json"))


def complete_options(given: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """What of `given` describes the architecture, with the defaults of what it does not say; raises ConfigError."""
    _library()
    from huggingface_hub.errors import StrictDataclassError

    family = given.get("model_type")
    if family not in FAMILIES:
        raise ConfigError(f"{source}: a model of type {family!r}; feature=ssl reads {', '.join(FAMILIES)}")
    config_class, _ = _classes(str(family))
    own = _own_options(config_class)
    try:
        config = config_class(**{key: _plain(value) for key, value in given.items() if key in own})
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ConfigError(f"{source}: not the config of a {family} model: {_first_line(error)}") from error
    return {"model_type": str(family), **{key: _plain(getattr(config, key)) for key in sorted(own)}}


def wants_normalised_waveform(folder: Path) -> bool:
    """What preprocessor_config.json says of a model that reads waveforms; raises ConfigError if it is not there."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        raise ConfigError(
            f"{path}: not there, so nothing says whether the model wants waveforms of zero mean and unit variance: "
            "say feature.normalise_waveform=true or false"
        )
    return bool(_read_json(path).get("do_normalize", True))


def build_encoder(options: Mapping[str, Any], *, depth: int, folder: Path | None) -> nn.Module:
    """The first `depth` transformer layers, with the weights in `folder` or random ones; raises ConfigError."""
    config_class, model_class = _classes(options["model_type"])
    own = {key: value for key, value in options.items() if key != "model_type"}
    off = {key: value for key, value in OFF.items() if key in own}
    config = config_class(**{**own, **off, "num_hidden_layers": depth})
    encoder: nn.Module = model_class(config) if folder is None else _load(model_class, config, folder)
    if depth < options["num_hidden_layers"] and options.get("do_stable_layer_norm", False):
        # It normalises what the last of all layers gives, which is not built.
        encoder.encoder.layer_norm = nn.Identity()  # type: ignore[union-attr]
    return encoder


def _load(model_class: Any, config: Any, folder: Path) -> nn.Module:
    from safetensors import SafetensorError

    try:
        with _quiet():
            encoder, report = model_class.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=any(folder.glob(WEIGHTS[0])),
                weights_only=True,
                output_loading_info=True,
            )
    except UnpicklingError as error:  # torch's own message advises to run the file's code
        raise ConfigError(
            f"{folder}: the model's weights cannot be loaded: its .bin holds more than weights; take a model with "
            "model.safetensors"
        ) from error
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ConfigError(f"{folder}: the model's weights cannot be loaded: {_first_line(error)}") from error
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"{folder}: its weights lack {len(missing)} of the encoder's, the first: {missing[0]}; they would be random"
        )
    module: nn.Module = encoder
    return module


def _library() -> Any:
    """transformers, imported where it is needed: it takes seconds."""
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("feature=ssl needs the library transformers: pip install 'speaker-id[ssl]'") from error
    return transformers


def _classes(family: str) -> tuple[Any, Any]:
    library, name = _library(), FAMILIES[family]
    return getattr(library, f"{name}Config"), getattr(library, f"{name}Model")


def _own_options(config_class: Any) -> set[str]:
    """The options that a config adds to those of every config, which name code, devices and files among others."""
    return set(vars(config_class)["__annotations__"]) - {"model_type"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bar and its list of weights (a head's) that an encoder has no use for."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not readable ({_first_line(error)}); is this the folder of a model?") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not the config of a model")
    return content


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]
