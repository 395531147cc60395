"""Mel spectrogram, its logarithm and its cepstrum, as torchaudio defines them.

Mel filters are triangles of height 1 on HTK's mel scale, 2595 log10(1 + f / 700), over the power spectrum.
"""

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct, melscale_fbanks

from speaker_id.errors import ConfigError
from speaker_id.feature.band import upper_edge
from speaker_id.feature.normalise import check_kind, normalise
from speaker_id.feature.spectrogram import Stft

LOG_MEL_FLOOR = 1e-10  # of power; 100 dB under a mel bin of power 1
CEPSTRUM_OFFSET = 1e-6  # torchaudio's, added to the power


class MelSpectrogram(nn.Module):
    """Mel spectrogram (power, not logarithmic): (B, S) -> (B, F, T), T = 1 + S // hop_length.

    `win_length` and `hop_length` are samples, `f_max=None` is half the sample rate. Raises ConfigError for values
    that do not fit, TooShort for a recording of no more than half of `n_fft`.
    """

    mel_filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_mels: int = 80,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        window: str = "hann",
        f_min: float = 20.0,
        f_max: float | None = None,
        normalise: str = "mean_variance",
    ) -> None:
        super().__init__()
        top = upper_edge(f_min, f_max, sample_rate)
        if n_mels < 1:
            raise ConfigError(f"feature.n_mels={n_mels} must be positive")
        self.stft = Stft(n_fft=n_fft, win_length=win_length, hop_length=hop_length, window=window)
        self.sample_rate = sample_rate
        self.out_dim = n_mels
        self.normalise = check_kind(normalise)
        filters = melscale_fbanks(self.stft.num_bins, f_min, top, n_mels, sample_rate, norm=None, mel_scale="htk")
        self.register_buffer("mel_filters", filters, persistent=False)  # (n_fft // 2 + 1, F)

    def forward(self, waveforms: Tensor) -> Tensor:
        return normalise(self.stft(waveforms, self._mel), self.normalise)

    def _mel(self, power: Tensor) -> Tensor:
        return power @ self.mel_filters


class LogMelSpectrogram(nn.Module):
    """Natural logarithm of the mel spectrogram, not under 1e-10 of power: (B, S) -> (B, F, T), as MelSpectrogram.

    The origin's is 10 log10 with the same floor: 4.34 times this, which `mean_variance` makes the same.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_mels: int = 80,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        window: str = "hann",
        f_min: float = 20.0,
        f_max: float | None = None,
        normalise: str = "mean",
    ) -> None:
        super().__init__()
        self.mel = MelSpectrogram(
            sample_rate=sample_rate, n_mels=n_mels, n_fft=n_fft, win_length=win_length, hop_length=hop_length,
            window=window, f_min=f_min, f_max=f_max, normalise="none",
        )  # fmt: skip
        self.sample_rate = sample_rate
        self.out_dim = n_mels
        self.normalise = check_kind(normalise)

    def forward(self, waveforms: Tensor) -> Tensor:
        return normalise(self.mel(waveforms).clamp_min(LOG_MEL_FLOOR).log(), self.normalise)


class Mfcc(nn.Module):
    """Mel-frequency cepstral coefficients, the cosine transform of the log mel power: (B, S) -> (B, F, T).

    F = n_mfcc, the first being the level; all else as in MelSpectrogram.
    """

    dct: Tensor

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_mfcc: int = 40,
        n_mels: int = 80,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        window: str = "hann",
        f_min: float = 20.0,
        f_max: float | None = None,
        normalise: str = "mean",
    ) -> None:
        super().__init__()
        if not 1 <= n_mfcc <= n_mels:
            raise ConfigError(f"feature.n_mfcc={n_mfcc} must lie in 1 .. feature.n_mels={n_mels}")
        self.mel = MelSpectrogram(
            sample_rate=sample_rate, n_mels=n_mels, n_fft=n_fft, win_length=win_length, hop_length=hop_length,
            window=window, f_min=f_min, f_max=f_max, normalise="none",
        )  # fmt: skip
        self.sample_rate = sample_rate
        self.out_dim = n_mfcc
        self.normalise = check_kind(normalise)
        self.register_buffer("dct", create_dct(n_mfcc, n_mels, norm="ortho").T.contiguous(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        log_mel = (self.mel(waveforms) + CEPSTRUM_OFFSET).log()
        return normalise(torch.matmul(self.dct, log_mel), self.normalise)
