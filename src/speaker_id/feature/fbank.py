"""Kaldi's log mel filter bank, batched and in plain torch."""

import math

import torch
from torch import Tensor, nn

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.band import upper_edge
from speaker_id.feature.frames import by_chunk, power_spectrum
from speaker_id.feature.normalise import check_kind, normalise

KALDI_SCALE = 32768.0  # Kaldi computes on 16-bit integers
LOG_FLOOR = torch.finfo(torch.float32).eps  # Kaldi's floor under the logarithm


class Fbank(nn.Module):
    """Log mel filter bank as Kaldi's compute-fbank-feats (snip_edges, no dither, no energy): (B, S) -> (B, F, T).

    T = 1 + (S - frame) // hop. Equal to `torchaudio.compliance.kaldi.fbank` on `32768 * waveform`.
    `f_max=None` is half the sample rate. Raises TooShort for less than one frame.
    """

    mel_filters: Tensor
    window: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_mels: int = 80,
        frame_length_ms: float = 25.0,
        frame_shift_ms: float = 10.0,
        window: str = "hamming",
        preemphasis: float = 0.97,
        f_min: float = 20.0,
        f_max: float | None = None,
        normalise: str = "mean",
    ) -> None:
        super().__init__()
        top = upper_edge(f_min, f_max, sample_rate)
        self.sample_rate = sample_rate
        self.out_dim = n_mels
        self.frame = int(sample_rate * frame_length_ms / 1000)
        self.hop = int(sample_rate * frame_shift_ms / 1000)
        if self.frame < 2 or self.hop < 1 or n_mels < 1:
            raise ConfigError(
                f"feature.frame_length_ms={frame_length_ms}, frame_shift_ms={frame_shift_ms} and n_mels={n_mels} must "
                f"be positive; a frame holds 2 samples or more, a shift 1, at feature.sample_rate={sample_rate}"
            )
        self.n_fft = 1 << (self.frame - 1).bit_length()
        self.preemphasis = preemphasis
        self.normalise = check_kind(normalise)
        self.register_buffer("window", KALDI_SCALE * _window(window, self.frame), persistent=False)
        self.register_buffer("mel_filters", _mel_filters(n_mels, self.n_fft, sample_rate, f_min, top), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        if waveforms.shape[-1] < self.frame:
            raise TooShort(f"{waveforms.shape[-1]} samples are less than one frame of {self.frame}; record more")
        frames = waveforms.float().unfold(-1, self.frame, self.hop)
        return normalise(by_chunk(frames, self._log_mel), self.normalise)

    def _log_mel(self, frames: Tensor) -> Tensor:
        """(..., frame) -> (..., F)"""
        frames = frames - frames.mean(dim=-1, keepdim=True)
        lagged = self.preemphasis * frames
        frames[..., 1:] -= lagged[..., :-1]
        frames[..., :1] -= lagged[..., :1]  # what came before a frame is its first sample again
        frames *= self.window
        power = power_spectrum(frames, self.n_fft)
        return (power @ self.mel_filters).clamp_min(LOG_FLOOR).log()


def _window(kind: str, length: int) -> Tensor:
    hann = torch.hann_window(length, periodic=False)
    kinds = {
        "hamming": torch.hamming_window(length, periodic=False, alpha=0.54, beta=0.46),
        "hann": hann,
        "povey": hann.pow(0.85),
        "rectangular": torch.ones(length),
    }
    if kind not in kinds:
        raise ConfigError(f"feature.window={kind!r} does not exist; choose one of {', '.join(kinds)}")
    return kinds[kind]


def _mel_filters(n_mels: int, n_fft: int, sample_rate: int, f_min: float, f_max: float) -> Tensor:
    """Triangles on Kaldi's mel scale, 1127 ln(1 + f / 700): (n_fft / 2 + 1, F)."""
    mel = 1127.0 * torch.log1p(torch.arange(n_fft // 2 + 1) * (sample_rate / n_fft) / 700.0)
    low, high = (1127.0 * math.log1p(f / 700.0) for f in (f_min, f_max))
    step = (high - low) / (n_mels + 1)
    left = low + step * torch.arange(n_mels).unsqueeze(1)
    rising = (mel - left) / step
    falling = (left + 2 * step - mel) / step
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    filters[:, -1] = 0.0  # Kaldi leaves the Nyquist bin out
    return filters.T.contiguous()
