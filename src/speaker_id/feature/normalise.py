"""Normalisation of features over the frames of one recording, or over the bins of one frame."""

from torch import Tensor

from speaker_id.errors import ConfigError

KINDS = ("mean", "mean_variance", "per_frame", "none")
FLOOR = 1e-5  # the origin's constant; it keeps digital silence at zero


def check_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(f"feature.normalise={kind!r} does not exist; choose one of {', '.join(KINDS)}")
    return kind


def normalise(frames: Tensor, kind: str) -> Tensor:
    """Remove what stays the same: (B, F, T) -> (B, F, T).

    `mean` subtracts each bin's mean over time (the channel), `mean_variance` also divides by its deviation (the level
    too). `per_frame` takes mean and deviation of each frame over its bins instead, as the origin's first version did.
    """
    if kind == "none":
        return frames
    over = -2 if kind == "per_frame" else -1
    centred = frames - frames.mean(dim=over, keepdim=True)
    if kind == "mean":
        return centred
    return centred / (centred.square().mean(dim=over, keepdim=True).sqrt() + FLOOR)
