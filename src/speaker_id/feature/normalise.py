"""Normalisation of features over the frames of one recording."""

from torch import Tensor

from speaker_id.errors import ConfigError

KINDS = ("mean", "mean_variance", "none")


def check_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(f"feature.normalise={kind!r} does not exist; choose one of {', '.join(KINDS)}")
    return kind


def normalise(frames: Tensor, kind: str) -> Tensor:
    """Remove what stays the same in a recording (channel, level): (B, F, T) -> (B, F, T).

    `mean` subtracts each bin's mean over time, `mean_variance` also divides by its deviation.
    """
    if kind == "none":
        return frames
    centred = frames - frames.mean(dim=-1, keepdim=True)
    if kind == "mean":
        return centred
    # The floor keeps digital silence at zero; 1e-5 is the origin's constant.
    return centred / (centred.square().mean(dim=-1, keepdim=True).sqrt() + 1e-5)
