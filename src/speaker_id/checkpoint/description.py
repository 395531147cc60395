"""What a checkpoint says of its model: plain types that rebuild it, checked before anything is built of them."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from speaker_id import build
from speaker_id.contracts import OperatingPoint
from speaker_id.errors import CheckpointError

FORMAT = 2  # of the description below; raised when an older reader could not understand it
PLAIN_FORMAT = 1  # without vad: written where there is none, so that earlier versions read it
BUILDABLE = ("speaker_id.feature.", "speaker_id.model.", "speaker_id.pooling.")  # packages a description may name
DETECTORS = "speaker_id.vad."  # for its vad, whose classes are no torch modules
NUMBER = (int, float)


def describe(config: Mapping[str, Any], speakers: list[str], operating_point: OperatingPoint | None) -> dict[str, Any]:
    """What a checkpoint says about its model, in plain types: enough to rebuild it without the training config."""
    vad = {"vad": dict(config["vad"])} if config.get("vad") else {}
    return {
        "format": FORMAT if vad else PLAIN_FORMAT,
        **vad,
        "feature": dict(config["feature"]),
        "model": dict(config["model"]),
        "pooling": dict(config["pooling"]),
        "speakers": list(speakers),
        "operating_point": None if operating_point is None else dict(operating_point._asdict()),
    }


def checked(description: Any, source: Path) -> dict[str, Any]:
    """The description, as `describe` would have written it; raises CheckpointError for any other shape."""
    found = description if isinstance(description, dict) else {}
    if missing := sorted({"format", "feature", "model", "pooling", "speakers", "operating_point"} - set(found)):
        raise CheckpointError(f"{source}: its description lacks {', '.join(missing)}; it was not written by speaker_id")
    if found["format"] not in (PLAIN_FORMAT, FORMAT):
        raise CheckpointError(
            f"{source}: format {found['format']}, this version reads up to {FORMAT}; update speaker_id"
        )
    parts = {group: found[group] for group in ("feature", "pooling", "model", "vad") if group in found}
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


def refuse_foreign(node: Any, source: Path) -> None:
    """A description may only name classes of ours: whatever else it names would run with the reader's rights."""
    if isinstance(node, str) and "${" in node:
        raise CheckpointError(f"{source}: {node[:80]!r} would be computed on loading; it was not written by speaker_id")
    if isinstance(node, Mapping):
        if any(str(key).startswith("_") and key != "_target_" for key in node):
            raise CheckpointError(f"{source}: has a key that steers construction; it was not written by speaker_id")
        if "_target_" in node and not _is_own_class(node["_target_"]):
            raise CheckpointError(
                f"{source}: names {node['_target_']!r} to be built; only speaker_id's own features and models are"
            )
    if isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            refuse_foreign(child, source)


def refuse_unresolved(feature: Mapping[str, Any], source: Path) -> None:
    """A checkpoint is complete: reading one neither looks for other files nor asks the network."""
    for option in getattr(build.target_class(feature), "RESOLVED", ()):
        if feature.get(option) is None:
            raise CheckpointError(f"{source}: its feature lacks {option}; it was not written by speaker_id")


def _is_own_class(target: Any) -> bool:
    """Whether `target` is the full name of a torch module, or of a detector, that one of our packages defines."""
    if not isinstance(target, str) or not target.startswith((*BUILDABLE, DETECTORS)):
        return False
    home, _, name = target.rpartition(".")
    try:
        found = vars(importlib.import_module(home)).get(name)
    except ImportError:
        return False
    if not isinstance(found, type) or found.__module__ != home:
        return False
    return hasattr(found, "identity") if target.startswith(DETECTORS) else issubclass(found, nn.Module)


def _is_operating_point(point: Any) -> bool:
    """A threshold and its source at least: earlier checkpoints had no more."""
    if not isinstance(point, dict) or not {"threshold", "source"} <= set(point) <= set(OperatingPoint._fields):
        return False
    optional = [point.get(name) for name in ("llr_scale", "llr_offset", "target_fpr", "num_nontargets")]
    return (
        type(point["threshold"]) in NUMBER  # a bool is an int too
        and isinstance(point["source"], str)
        and all(value is None or type(value) in NUMBER for value in optional)
        and (point.get("llr_scale") is None) == (point.get("llr_offset") is None)
    )
