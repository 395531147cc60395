"""Samples that are in memory already: numpy arrays and torch tensors. Nothing here imports torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from speaker_id.audio.recording import MAX_CHANNELS, AudioInfo, Recording, check_rate, checked, full_scale, mix_down
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError

if TYPE_CHECKING:
    from torch import Tensor

Samples: TypeAlias = "NDArray[np.generic] | Tensor"

_NAME = "<array>"


def are_samples(source: object) -> TypeGuard[Samples]:
    return isinstance(source, np.ndarray) or _is_tensor(source)


def opened_array(array: Samples, rate: int) -> Recording:
    """(S,), (C, S) or (S, C) at `rate`. Raises AudioError for other shapes and types."""
    samples = _as_numpy(array)
    check_rate(rate, _NAME)
    if samples.ndim == 2 and samples.shape[0] == samples.shape[1]:
        raise AudioError(f"{_NAME} of shape {samples.shape}: channels and samples cannot be told apart; pass (S,)")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and min(samples.shape) > MAX_CHANNELS):
        raise AudioError(f"{_NAME} of shape {samples.shape} is not one recording; pass (S,), (C, S) or (S, C)")
    channels = samples[None] if samples.ndim == 1 else samples if samples.shape[0] < samples.shape[1] else samples.T

    def read(first: int, num: int) -> FloatArray:
        return checked(mix_down(full_scale(channels[:, first : first + num], _NAME)), _NAME)

    return Recording(_NAME, AudioInfo(channels.shape[1], rate, channels.shape[0]), read)


def _is_tensor(source: object) -> TypeGuard[Tensor]:
    torch = sys.modules.get("torch")  # who hands in a tensor has imported torch; nobody else should pay for it
    return torch is not None and isinstance(source, torch.Tensor)


def _as_numpy(array: Samples) -> NDArray[Any]:
    if isinstance(array, np.ndarray):
        return array
    numbers: NDArray[Any] = (array.float() if array.is_floating_point() else array).detach().cpu().numpy()
    return numbers
