"""A file or folder -> a usable model."""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from speaker_id import build
from speaker_id.checkpoint.description import refuse_foreign, refuse_unresolved
from speaker_id.checkpoint.reading import FEATURE_PREFIX, Content, read, resolve
from speaker_id.contracts import OperatingPoint, SpeechDetector
from speaker_id.data.fingerprint import SeenData
from speaker_id.errors import CheckpointError, ConfigError

GROUPS = ("feature", "model", "pooling", "vad")  # the last where recordings are cut to their speech


class LoadedModel(NamedTuple):
    """A model ready for use, in eval mode; `config` holds the plain feature, model, pooling and perhaps vad groups."""

    feature: nn.Module  # (B, S) -> (B, F, T)
    embedding_model: nn.Module  # (B, F, T) -> (B, E)
    operating_point: OperatingPoint | None
    config: dict[str, Any]
    speakers: list[str]
    fingerprint: str  # SHA-256 over the weights and the config: equal fingerprints give equal embeddings
    seen: SeenData | None = None  # what it was trained on; None where the checkpoint says nothing
    vad: SpeechDetector | None = None  # cuts silence from every recording first; None: recordings as they are


def has_weights(feature: nn.Module) -> bool:
    """Whether a feature has parameters: the training module then runs and trains it, and checkpoints hold its weights.

    Frozen ones count: a checkpoint is complete. A feature without parameters is rebuilt from its options alone.
    """
    return next(feature.parameters(), None) is not None


def load(path: str | os.PathLike[str]) -> LoadedModel:
    """Load a run folder (its best checkpoint), a .ckpt file or a bundle folder. Raises CheckpointError."""
    found = resolve(path)
    return _assemble(read(found), found)


def read_seen(path: str | os.PathLike[str]) -> SeenData | None:
    """What the model at `path` was trained on; None where it says nothing. Raises CheckpointError."""
    return read(resolve(path)).seen


def load_weights(
    model: nn.Module, path: str | os.PathLike[str], *, strict: bool, feature: nn.Module | None = None
) -> dict[str, str]:
    """Start `model` (an EmbeddingModel), and a feature that has weights, from the weights at `path`.

    Strict: everything must fit, else CheckpointError. Otherwise what fits in name and shape is loaded, and what
    is not comes back as {name: reason}.
    """
    weights = read(resolve(path)).weights
    own = state_of(model, feature)
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


def state_of(model: nn.Module, feature: nn.Module | None) -> dict[str, Tensor]:
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


def _assemble(content: Content, source: Path) -> LoadedModel:
    description, weights = content.description, content.weights
    groups = {group: description[group] for group in GROUPS if group in description}
    refuse_foreign(groups, source)
    refuse_unresolved(groups["feature"], source)
    try:
        vad = build.speech_detector(groups.get("vad", {}))
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
        content.seen,
        vad,
    )


def _fingerprint(description: dict[str, Any], weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for group in (group for group in GROUPS if group in description):
        digest.update(yaml.safe_dump({group: description[group]}, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.ndim else tensor.numpy().tobytes())
    return digest.hexdigest()
