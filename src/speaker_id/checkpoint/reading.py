"""Checkpoint files and bundle folders -> description, weights and fingerprint, without running any code of theirs."""

import os
import struct
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises when it refuses; nothing is unpickled here
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from speaker_id.checkpoint.description import checked
from speaker_id.contracts import as_path
from speaker_id.data.fingerprint import SeenData, from_arrays
from speaker_id.errors import CheckpointError, DataError

KEY = "speaker_id"  # where a training checkpoint keeps the description
SEEN = "seen_data"  # and, within it, the fingerprint of what it was trained on
PREFIX = "embedding_model."
FEATURE_PREFIX = "feature."  # of the weights of a feature that has some; no part of an embedding model is called so
WEIGHTS_FILE, CONFIG_FILE, SEEN_FILE = "model.safetensors", "config.yaml", "seen_data.safetensors"  # of a bundle
# What torch.load raises for damaged bytes, found by damaging them at random.
_UNREADABLE = (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError, AttributeError,
               AssertionError, OverflowError, struct.error)  # fmt: skip


class Content(NamedTuple):
    """What a file or bundle holds; weights by their names in the model, or with FEATURE_PREFIX in front."""

    description: dict[str, Any]
    weights: dict[str, Tensor]
    seen: SeenData | None


def resolve(path: str | os.PathLike[str]) -> Path:
    """The file to read for `path`; in a run folder checkpoints/best.ckpt, or last.ckpt before the first evaluation."""
    given = as_path(path)
    if (given / WEIGHTS_FILE).is_file() or given.is_file():
        return given
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt"):
        if (given / name).is_file():
            return given / name
    if not given.exists():
        raise CheckpointError(f"{given}: no such file or folder; give a run folder, a .ckpt file or a bundle")
    raise CheckpointError(f"{given}: no checkpoints/best.ckpt and no model.safetensors in it; is this a run folder?")


def read(found: Path) -> Content:
    """Read what `resolve` found. Raises CheckpointError."""
    return _read_bundle(found) if found.is_dir() else _read_training_checkpoint(found)


def load_training_checkpoint(path: Path) -> dict[str, Any]:
    """Everything in a .ckpt file, optimiser and loops included; raises CheckpointError if it is not one of ours."""
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
    checked(content[KEY], path)
    return content


def _read_training_checkpoint(path: Path) -> Content:
    content = load_training_checkpoint(path)
    weights = {str(name): tensor for name, tensor in content["state_dict"].items() if isinstance(tensor, Tensor)}
    kept = {name: tensor for name, tensor in weights.items() if name.startswith((PREFIX, FEATURE_PREFIX))}
    own = {name.removeprefix(PREFIX): tensor for name, tensor in kept.items()}
    description = content[KEY]
    return Content(description, own, _seen(description.get(SEEN), path))


def read_description(folder: Path) -> dict[str, Any]:
    """The checked config.yaml of a bundle."""
    try:
        description = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: a bundle needs config.yaml and model.safetensors: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder}/config.yaml: not readable YAML: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{folder}: not readable: {error}; write the bundle again") from error
    return checked(description, folder)


def _read_bundle(folder: Path) -> Content:
    description = read_description(folder)
    try:
        weights = load_file(folder / WEIGHTS_FILE)
        seen = load_file(folder / SEEN_FILE) if (folder / SEEN_FILE).is_file() else None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: not readable: {error}; write the bundle again") from error
    return Content(description, weights, _seen(seen, folder))


def _seen(tensors: Any, source: Path) -> SeenData | None:
    """None for a checkpoint that says nothing of its data, as earlier ones do."""
    if tensors is None:
        return None
    try:
        return from_arrays({str(name): tensor.numpy() for name, tensor in tensors.items()})
    except (DataError, AttributeError, TypeError, RuntimeError) as error:  # torch makes no array of some tensors
        raise CheckpointError(
            f"{source}: its fingerprint of the training data is damaged ({error}); train or export it again"
        ) from error
