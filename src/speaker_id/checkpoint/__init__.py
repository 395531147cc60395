"""A file or folder to a usable model: training checkpoints and portable bundles, read without running any code."""

from speaker_id.checkpoint.description import FORMAT, describe
from speaker_id.checkpoint.loading import GROUPS, LoadedModel, has_weights, load, load_weights, read_seen
from speaker_id.checkpoint.reading import FEATURE_PREFIX, KEY, PREFIX, SEEN, resolve
from speaker_id.checkpoint.writing import save_bundle, save_operating_point, seen_tensors

__all__ = [
    "FEATURE_PREFIX",
    "FORMAT",
    "GROUPS",
    "KEY",
    "PREFIX",
    "SEEN",
    "LoadedModel",
    "describe",
    "has_weights",
    "load",
    "load_weights",
    "read_seen",
    "resolve",
    "save_bundle",
    "save_operating_point",
    "seen_tensors",
]
