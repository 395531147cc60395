"""The speech of the recordings of a list: which stretches it is, and how it is read without the rest."""

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import audio
from speaker_id.contracts import FloatArray, Stretches
from speaker_id.vad.stretches import part

SKIP_SECONDS = 2.0  # a shorter pause is read and thrown away: going to another place of a file costs more


class Speech(NamedTuple):
    """The stretches of every row of a list, in one array: a million rows are not a million objects."""

    stretches: Stretches  # (M, 2), row after row
    first: NDArray[np.int64]  # (N + 1,): row i has stretches[first[i] : first[i + 1]]

    def of_row(self, row: int) -> Stretches:
        return self.stretches[self.first[row] : self.first[row + 1]]


def load_speech(
    path: str | os.PathLike[str], sample_rate: int, stretches: Stretches, *, start: int = 0, num: int
) -> FloatArray:
    """`num` samples from `start` on of a recording's stretches end to end: (num,), the same as if all were read.

    Only the frames around them are read. Raises AudioError.
    """
    pieces = part(stretches, start, num)
    skips = np.flatnonzero(pieces[1:, 0] - pieces[:-1, 1] > SKIP_SECONDS * sample_rate) + 1
    kept = []
    for near in np.split(pieces, skips):
        first, end = int(near[0, 0]), int(near[-1, 1])
        waveform = audio.load(path, sample_rate, start=first, num=end - first)
        kept += [waveform[low:high] for low, high in near - first]
    return np.concatenate(kept)
