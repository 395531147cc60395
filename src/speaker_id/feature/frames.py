"""What is computed of overlapping frames: a few at a time, so that all of it stays in the processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 300  # frames; their spectra (0.6 MB) stay in the cache, and one call costs little beside the work in it


def by_chunk(frames: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` (..., T', n) -> (..., T', F) of every frame: (B, T, n) -> (B, F, T).

    On a CPU it sees one recording, some frames at a time; elsewhere, and where a compiler or exporter traces it,
    the whole batch at once.
    """
    if frames.device.type != "cpu" or torch.compiler.is_compiling():
        return function(frames).transpose(1, 2).contiguous()
    return torch.stack([torch.cat([function(part) for part in row.split(CHUNK)]).T for row in frames])


def power_spectrum(frames: Tensor, n_fft: int) -> Tensor:
    """Squared magnitudes of frames, filled up with zeros to `n_fft` samples: (..., n) -> (..., n_fft // 2 + 1)."""
    spectrum = torch.fft.rfft(frames, n=n_fft)
    power: Tensor = spectrum.real.square()  # abs() would take a slow root, for the square to undo
    power += spectrum.imag.square()
    return power
