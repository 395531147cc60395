"""Recordings as a gallery keeps them, for those who ask it to: FLAC at the model's rate, 16 bits a sample."""

from __future__ import annotations

import io
from collections.abc import Sequence

from speaker_id.contracts import FloatArray, Gallery


def files_to_keep(gallery: Gallery, waveforms: Sequence[FloatArray], sample_rate: int) -> list[bytes] | None:
    """The file of each waveform (S,), to be given to `enrol`; None for a gallery that keeps none."""
    return [as_flac(waveform, sample_rate) for waveform in waveforms] if gallery.keeps_recordings else None


def as_flac(waveform: FloatArray, sample_rate: int) -> bytes:
    """Mono (S,) in [-1, 1]; what came with 16 bits at this rate comes back sample by sample."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, waveform, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
