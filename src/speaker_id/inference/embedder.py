"""A loaded model as a function from recordings to embeddings."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch.nn import functional

from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import FloatArray
from speaker_id.data.lengths import equal_length_batches, trim_length
from speaker_id.errors import CheckpointError, ConfigError, NoSpeech, TooShort
from speaker_id.inference.quality import MIN_SECONDS, check_usable
from speaker_id.model.embedding import deployed
from speaker_id.vad.stretches import cut

MAX_BATCH_SECONDS = 120.0  # of sound in one forward pass; a longer recording is a pass of its own


class ModelEmbedder:
    """The Embedder contract: waveforms at `sample_rate` -> unit rows (N, E); row i depends on recording i alone.

    A recording loses its pauses where the model was trained without them, and less than 0.1 s at its end so that equal
    lengths meet in exact batches; nothing is padded. It is embedded whole, however long: memory grows with its length.
    """

    def __init__(self, loaded: LoadedModel, *, device: str | torch.device = "cpu") -> None:
        self.device = usable_device(device)
        self._feature = loaded.feature.to(self.device).eval()
        self._embedding_model = deployed(loaded.embedding_model).to(self.device).eval()
        self._vad = loaded.vad
        self.sample_rate = cast(int, loaded.feature.sample_rate)
        self.dim = cast(int, loaded.embedding_model.out_dim)
        self.fingerprint = loaded.fingerprint

    def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
        """Embed recordings, given as (S,) each, called by their `names` in messages.

        Raises TooShort below 0.5 s, of speech where pauses are cut, NoSpeech for silence, CheckpointError when the
        model's numbers are not finite.
        """
        names = names or _numbered(len(waveforms))
        if self._vad is not None:
            waveforms = [self._spoken(waveform, name) for waveform, name in zip(waveforms, names, strict=True)]
        return self._embed_all(waveforms, names)

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        """Embed parts of recordings (S,) as they are, pauses and all. Raises as above."""
        return self._embed_all(waveforms, _numbered(len(waveforms)))

    def _spoken(self, waveform: FloatArray, name: str) -> FloatArray:
        """(S,) without its pauses (S',)."""
        check_usable(waveform, self.sample_rate, name=name)
        assert self._vad is not None
        speech = self._vad(waveform, self.sample_rate)
        if not len(speech):
            raise NoSpeech(f"{name} holds no speech: check the microphone and record again")
        spoken = cut(waveform, speech)
        if len(spoken) < MIN_SECONDS * self.sample_rate:
            raise TooShort(
                f"{name} holds {len(spoken) / self.sample_rate:.2f} s of speech, at least {MIN_SECONDS:g} s are "
                "needed: record more speech"
            )
        return spoken

    def _embed_all(self, waveforms: list[FloatArray], names: Sequence[str]) -> FloatArray:
        for waveform, name in zip(waveforms, names, strict=True):
            check_usable(waveform, self.sample_rate, name=name)
        lengths = [trim_length(len(waveform), self.sample_rate) for waveform in waveforms]
        embeddings = np.zeros((len(waveforms), self.dim), np.float32)
        max_samples = int(MAX_BATCH_SECONDS * self.sample_rate)
        for batch in equal_length_batches(lengths, max_batch_samples=max_samples):
            embeddings[batch] = self._embed(np.stack([waveforms[i][: lengths[i]] for i in batch]))
        if not np.all(np.linalg.norm(embeddings, axis=1) > 0.5):  # unit rows; NaN compares false
            raise CheckpointError("the model gives embeddings that are zero or not finite: its weights are unusable")
        return embeddings

    @torch.inference_mode()
    def _embed(self, waveforms: FloatArray) -> FloatArray:
        """Recordings of one length: (B, S) -> (B, E)."""
        features = self._feature(torch.from_numpy(waveforms).to(self.device))
        embeddings = functional.normalize(self._embedding_model(features).float(), dim=-1)
        return cast(FloatArray, embeddings.cpu().numpy())


def _numbered(num: int) -> list[str]:
    return [f"recording {number} of {num}" for number in range(1, num + 1)]


def usable_device(device: str | torch.device) -> torch.device:
    """The device of that name; `auto` is a GPU if there is one. Raises ConfigError for one that cannot be used here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled with CUDA
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {str(device)!r} cannot be used here ({reason}): use 'cpu'") from error
    return torch.device(device)
