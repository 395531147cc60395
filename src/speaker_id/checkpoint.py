"""A file or folder to a usable model: training checkpoints and portable bundles, read without running any code."""

import hashlib
import os
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
from speaker_id.errors import CheckpointError

FORMAT = 1  # of the description below; raised when an older reader could not understand it
KEY = "speaker_id"  # where a training checkpoint keeps the description
PREFIX = "embedding_model."


class LoadedModel(NamedTuple):
    """A model ready for use, in eval mode; `config` holds the plain feature, model and pooling groups."""

    feature: nn.Module  # (B, S) -> (B, F, T)
    embedding_model: nn.Module  # (B, F, T) -> (B, E)
    operating_point: OperatingPoint | None
    config: dict[str, Any]
    speakers: list[str]
    fingerprint: str  # SHA-256 over the weights and the config: equal fingerprints give equal embeddings


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
    """Write the portable form, `model.safetensors` + `config.yaml`, whole or not at all; returns the folder."""
    target = as_path(folder)
    target.mkdir(parents=True, exist_ok=True)
    description = describe(loaded.config, loaded.speakers, loaded.operating_point)
    weights = {name: tensor.contiguous() for name, tensor in loaded.embedding_model.state_dict().items()}
    partial = target / "model.safetensors.partial"
    save_file(weights, partial)
    (target / "config.yaml.partial").write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")
    (target / "config.yaml.partial").replace(target / "config.yaml")
    partial.replace(target / "model.safetensors")
    return target


def load_weights(model: nn.Module, path: str | os.PathLike[str], *, strict: bool) -> dict[str, str]:
    """Start `model` (an EmbeddingModel) from the weights at `path`.

    Strict: everything must fit, else CheckpointError. Otherwise what fits in name and shape is loaded, and what
    is not comes back as {name: reason}.
    """
    weights = _weights_of(resolve(path))
    own = model.state_dict()
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
    model.load_state_dict({name: weights[name] for name in own if name not in reasons}, strict=False)
    return reasons


def _weights_of(found: Path) -> dict[str, Tensor]:
    return (_read_bundle(found) if found.is_dir() else _read_training_checkpoint(found))[1]


def _assemble(description: dict[str, Any], weights: dict[str, Tensor], source: Path) -> LoadedModel:
    _refuse_foreign_targets(description, source)
    feature = build.feature(description["feature"])
    model = build.embedding_model(description["model"], description["pooling"], int(feature.out_dim))  # type: ignore[arg-type]
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{source}: the weights do not fit its own description: {error}") from error
    point = description["operating_point"]
    return LoadedModel(
        feature,
        model.eval(),
        None if point is None else OperatingPoint(**point),
        {group: description[group] for group in ("feature", "model", "pooling")},
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


def _refuse_foreign_targets(node: Any, source: Path) -> None:
    """A description may only name classes of ours: whatever else it names would run with the reader's rights."""
    if isinstance(node, Mapping):
        target = node.get("_target_", "speaker_id.")
        if not str(target).startswith("speaker_id."):
            raise CheckpointError(f"{source}: names {target!r} to be built; only speaker_id's own classes are")
        if any(str(key) in ("_partial_", "_recursive_", "_convert_", "_args_") for key in node):
            raise CheckpointError(f"{source}: has a key that steers construction; it was not written by speaker_id")
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            _refuse_foreign_targets(child, source)


def _read_training_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, UnpicklingError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({str(error).splitlines()[0][:200]}); it may be cut off, "
            "or not be a checkpoint at all"
        ) from error
    description = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(description, dict) or "state_dict" not in content:
        raise CheckpointError(f"{path}: a checkpoint of another program; train with speaker_id or convert it first")
    weights = content["state_dict"]
    own = {name.removeprefix(PREFIX): tensor for name, tensor in weights.items() if name.startswith(PREFIX)}
    return _checked(description, path), own


def _read_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        description = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: a bundle needs config.yaml and model.safetensors: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder}/config.yaml: not readable YAML: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{folder}/model.safetensors: not readable: {error}") from error
    return _checked(description, folder), weights


def _checked(description: Any, source: Path) -> dict[str, Any]:
    needed = {"format", "feature", "model", "pooling", "speakers", "operating_point"}
    if not isinstance(description, dict) or not needed <= set(description):
        raise CheckpointError(f"{source}: its description lacks {sorted(needed - set(description or ()))}")
    if description["format"] != FORMAT:
        raise CheckpointError(
            f"{source}: format {description['format']}, this version reads {FORMAT}; update speaker_id"
        )
    return description
