"""The recording itself, for networks that learn their own filters."""

from torch import Tensor, nn

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.normalise import check_kind, normalise


class Waveform(nn.Module):
    """Stretches of the waveform as frames, sample by sample: (B, S) -> (B, F, T), T = 1 + (S - F) // hop_length.

    F is `frame_length`, in samples: bin f of frame t is sample t * hop_length + f. A backbone's first convolution over
    it multiplies every stretch by learned weights: a learned filter bank with that hop, in place of the Fourier
    transform and the mel filters. Raises TooShort for less than one frame.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        frame_length: int = 400,
        hop_length: int = 160,
        normalise: str = "none",
    ) -> None:
        super().__init__()
        if frame_length < 1 or hop_length < 1:
            raise ConfigError(
                f"feature.frame_length={frame_length} and hop_length={hop_length} samples must be positive"
            )
        self.sample_rate = sample_rate
        self.out_dim = frame_length
        self.hop_length = hop_length
        self.normalise = check_kind(normalise)

    def forward(self, waveforms: Tensor) -> Tensor:
        if waveforms.shape[-1] < self.out_dim:
            raise TooShort(f"{waveforms.shape[-1]} samples are less than one frame of {self.out_dim}; record more")
        frames = waveforms.float().unfold(-1, self.out_dim, self.hop_length)
        return normalise(frames.transpose(1, 2).contiguous(), self.normalise)
