"""A file or folder to a usable model: training checkpoints and portable bundles, read without running any code."""

import hashlib
import importlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises when it refuses; nothing is unpickled here
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from speaker_id import build
from speaker_id.contracts import OperatingPoint, as_path
from speaker_id.errors import CheckpointError, ConfigError

FORMAT = 1  # of the description below; raised when an older reader could not understand it
KEY = "speaker_id"  # where a training checkpoint keeps the description
PREFIX = "embedding_model."
FEATURE_PREFIX = "feature."  # of the weights of a feature that has some; no part of an embedding model is called so
BUILDABLE = ("speaker_id.feature.", "speaker_id.model.", "speaker_id.pooling.")  # packages a description may name
# What torch.load raises for damaged bytes, found by damaging them at random.
_UNREADABLE = (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError,
               AssertionError, OverflowError, struct.error)  # fmt: skip


class LoadedModel(NamedTuple):
    """A model ready for use, in eval mode; `config` holds the plain feature, model and pooling groups."""

    feature: nn.Module  # (B, S) -> (B, F, T)
    embedding_model: nn.Module  # (B, F, T) -> (B, E)
    operating_point: OperatingPoint | None
    config: dict[str, Any]
    speakers: list[str]
    fingerprint: str  # SHA-256 over the weights and the config: equal fingerprints give equal embeddings


def has_weights(feature: nn.Module) -> bool:
    """Whether a feature has parameters: the training module then runs and trains it, and checkpoints hold its weights.

    Frozen ones count: a checkpoint is complete. A feature without parameters is rebuilt from its options alone.
    """
    return next(feature.parameters(), None) is not None


def describe(config: Mapping[str, Any], speakers: list[str], operating_point: OperatingPoint | None) -> dict[str, Any]:
    """What a checkpoint says about its model, in plain types: enough to rebuild it without the training config."""
    return {
        "format": FORMAT,
        "feature": dict(config["feature"]),
        "model": dict(config["model"]),
        "pooling": dict(config["pooling"]),
        "speakers": list(speakers),
        "operating_point": None if operating_point is None else dict(operating_point._asdict()),
    }


def load(path: str | os.PathLike[str]) -> LoadedModel:
    """Load a run folder (its best checkpoint), a .ckpt file or a bundle folder. Raises CheckpointError."""
    found = resolve(path)
    if found.is_dir():
        description, weights = _read_bundle(found)
    else:
        description, weights = _read_training_checkpoint(found)
    return _assemble(description, weights, found)


def resolve(path: str | os.PathLike[str]) -> Path:
    """The file to read for `path`; in a run folder checkpoints/best.ckpt, or last.ckpt before the first evaluation."""
    given = as_path(path)
    if (given / "model.safetensors").is_file() or given.is_file():
        return given
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt"):
        if (given / name).is_file():
            return given / name
    if not given.exists():
        raise CheckpointError(f"{given}: no such file or folder; give a run folder, a .ckpt file or a bundle")
    raise CheckpointError(f"{given}: no checkpoints/best.ckpt and no model.safetensors in it; is this a run folder?")


def save_bundle(loaded: LoadedModel, folder: str | os.PathLike[str]) -> Path:
    """Write the portable form, `model.safetensors` + `config.yaml`, and return the folder.

    Raises CheckpointError when the disk refuses; a bundle that was there before is then still whole.
    """
    target = as_path(folder)
    weights = {name: tensor.contiguous() for name, tensor in _state(loaded.embedding_model, loaded.feature).items()}
    description = describe(loaded.config, loaded.speakers, loaded.operating_point)
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    partials = {name: target / f"{name}.partial" for name in ("model.safetensors", "config.yaml")}
    try:
        target.mkdir(parents=True, exist_ok=True)
        save_file(weights, partials["model.safetensors"])
        partials["config.yaml"].write_text(text, encoding="utf-8")
        for name, partial in partials.items():
            partial.replace(target / name)
    except (OSError, SafetensorError) as error:
        for partial in partials.values() if target.is_dir() else ():
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write the bundle {target}: {error}; nothing there was changed") from error
    return target


def load_weights(
    model: nn.Module, path: str | os.PathLike[str], *, strict: bool, feature: nn.Module | None = None
) -> dict[str, str]:
    """Start `model` (an EmbeddingModel), and a feature that has weights, from the weights at `path`.

    Strict: everything must fit, else CheckpointError. Otherwise what fits in name and shape is loaded, and what
    is not comes back as {name: reason}.
    """
    weights = _weights_of(resolve(path))
    own = _state(model, feature)
    reasons = {name: "not in the checkpoint" for name in own if name not in weights}
    for name, tensor in weights.items():
        if name not in own:
            reasons[name] = "not in this model"
        elif tensor.shape != own[name].shape:
            reasons[name] = f"shape {tuple(tensor.shape)} in the checkpoint, {tuple(own[name].shape)} in this model"
    if strict and reasons:
        name, reason = next(iter(reasons.items()))
        raise CheckpointError(
            f"{path}: {len(reasons)} weights do not fit, the first: {name} ({reason}); choose the model the checkpoint "
            "was trained with, or pretrained_strict=false to load the rest"
        )
    model_weights, feature_weights = _parted({name: weights[name] for name in own if name not in reasons})
    model.load_state_dict(model_weights, strict=False)
    if feature is not None and feature_weights:
        feature.load_state_dict(feature_weights, strict=False)
    return reasons


def _state(model: nn.Module, feature: nn.Module | None) -> dict[str, Tensor]:
    """The weights of a model and of its feature, by the names they have in a file."""
    state: dict[str, Tensor] = dict(model.state_dict())
    if feature is not None and has_weights(feature):
        state |= {FEATURE_PREFIX + name: tensor for name, tensor in feature.state_dict().items()}
    return state


def _parted(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the model, and those of its feature, by the names they have there."""
    of_feature = {name for name in weights if name.startswith(FEATURE_PREFIX)}
    return (
        {name: tensor for name, tensor in weights.items() if name not in of_feature},
        {name.removeprefix(FEATURE_PREFIX): weights[name] for name in weights if name in of_feature},
    )


def _weights_of(found: Path) -> dict[str, Tensor]:
    return (_read_bundle(found) if found.is_dir() else _read_training_checkpoint(found))[1]


def _assemble(description: dict[str, Any], weights: dict[str, Tensor], source: Path) -> LoadedModel:
    groups = {group: description[group] for group in ("feature", "model", "pooling")}
    _refuse_foreign(groups, source)
    _refuse_unresolved(groups["feature"], source)
    try:
        feature = build.feature(groups["feature"])
        model = build.embedding_model(groups["model"], groups["pooling"], int(feature.out_dim))  # type: ignore[arg-type]
    except ConfigError as error:
        raise CheckpointError(f"{source}: its model cannot be built: {error}") from error
    model_weights, feature_weights = _parted(weights)
    try:
        model.load_state_dict(model_weights, strict=True)
        if feature_weights or has_weights(feature):
            feature.load_state_dict(feature_weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: the weights do not fit its own description: {error}") from error
    point = description["operating_point"]
    return LoadedModel(
        feature,
        model.eval(),
        None if point is None else OperatingPoint(**point),
        groups,
        list(description["speakers"]),
        _fingerprint(description, weights),
    )


def _fingerprint(description: dict[str, Any], weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for group in ("feature", "model", "pooling"):
        digest.update(yaml.safe_dump({group: description[group]}, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.ndim else tensor.numpy().tobytes())
    return digest.hexdigest()


def _refuse_foreign(node: Any, source: Path) -> None:
    """A description may only name modules of ours: whatever else it names would run with the reader's rights."""
    if isinstance(node, str) and "${" in node:
        raise CheckpointError(f"{source}: {node[:80]!r} would be computed on loading; it was not written by speaker_id")
    if isinstance(node, Mapping):
        if any(str(key).startswith("_") and key != "_target_" for key in node):
            raise CheckpointError(f"{source}: has a key that steers construction; it was not written by speaker_id")
        if "_target_" in node and not _is_own_module(node["_target_"]):
            raise CheckpointError(
                f"{source}: names {node['_target_']!r} to be built; only speaker_id's own features and models are"
            )
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            _refuse_foreign(child, source)


def _refuse_unresolved(feature: Mapping[str, Any], source: Path) -> None:
    """A checkpoint is complete: reading one neither looks for other files nor asks the network."""
    for option in getattr(build.target_class(feature), "RESOLVED", ()):
        if feature.get(option) is None:
            raise CheckpointError(f"{source}: its feature lacks {option}; it was not written by speaker_id")


def _is_own_module(target: Any) -> bool:
    """Whether `target` is the full name of a torch module that one of our packages defines."""
    if not isinstance(target, str) or not target.startswith(BUILDABLE):
        return False
    home, _, name = target.rpartition(".")
    try:
        found = vars(importlib.import_module(home)).get(name)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == home


def _read_training_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # torch's own message advises to run the file's code
        raise CheckpointError(
            f"{path}: not a readable checkpoint (it holds more than weights and plain values); it may be damaged, or "
            "not be a checkpoint of speaker_id"
        ) from error
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({reason}); it may be cut off, or not be a checkpoint at all"
        ) from error
    if not isinstance(content, dict) or KEY not in content or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(f"{path}: a checkpoint of another program; train with speaker_id or convert it first")
    weights = {str(name): tensor for name, tensor in content["state_dict"].items() if isinstance(tensor, Tensor)}
    kept = {name: tensor for name, tensor in weights.items() if name.startswith((PREFIX, FEATURE_PREFIX))}
    own = {name.removeprefix(PREFIX): tensor for name, tensor in kept.items()}
    return _checked(content[KEY], path), own


def _read_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        description = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: a bundle needs config.yaml and model.safetensors: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder}/config.yaml: not readable YAML: {error}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: not readable: {error}; write the bundle again") from error
    return _checked(description, folder), weights


def _checked(description: Any, source: Path) -> dict[str, Any]:
    """The description, as `describe` would have written it; raises CheckpointError for any other shape."""
    found = description if isinstance(description, dict) else {}
    if missing := sorted({"format", "feature", "model", "pooling", "speakers", "operating_point"} - set(found)):
        raise CheckpointError(f"{source}: its description lacks {', '.join(missing)}; it was not written by speaker_id")
    if found["format"] != FORMAT:
        raise CheckpointError(f"{source}: format {found['format']}, this version reads {FORMAT}; update speaker_id")
    parts = {group: found[group] for group in ("feature", "pooling", "model")}
    if isinstance(found["model"], dict):
        parts |= {f"model.{part}": found["model"].get(part) for part in ("backbone", "projection")}
    for name, part in parts.items():
        if not isinstance(part, dict) or ("_target_" not in part and name != "model"):
            raise CheckpointError(f"{source}: its {name} names no class to build; it was not written by speaker_id")
    if not isinstance(found["speakers"], list):
        raise CheckpointError(f"{source}: its speakers are no list; it was not written by speaker_id")
    if found["operating_point"] is not None and not _is_operating_point(found["operating_point"]):
        raise CheckpointError(f"{source}: its operating point is no threshold with a source; choose one again")
    return found


def _is_operating_point(point: Any) -> bool:
    return (
        isinstance(point, dict)
        and set(point) == set(OperatingPoint._fields)
        and type(point["threshold"]) in (int, float)  # a bool is an int too
    )
