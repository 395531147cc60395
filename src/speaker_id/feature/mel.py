"""The origin's mel features, by torchaudio: linear mel spectrogram and MFCC."""

from typing import Any

import torch
import torchaudio
from torch import Tensor, nn

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.band import upper_edge
from speaker_id.feature.normalise import check_kind, normalise

WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}


class MelSpectrogram(nn.Module):
    """Mel spectrogram (power, not logarithmic): (B, S) -> (B, F, T), T = 1 + S // hop_length.

    `win_length` and `hop_length` are samples, `f_max=None` is half the sample rate.
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
        normalise: str = "mean_variance",
    ) -> None:
        super().__init__()
        options = mel_options(sample_rate, n_mels, n_fft, win_length, hop_length, window, f_min, f_max)
        self.sample_rate = sample_rate
        self.out_dim = n_mels
        self.normalise = check_kind(normalise)
        self.min_samples = n_fft // 2 + 1  # reflection padding needs more than half a window
        self.transform = torchaudio.transforms.MelSpectrogram(sample_rate, **options)

    def forward(self, waveforms: Tensor) -> Tensor:
        return _normalised(self.transform, waveforms, self.min_samples, self.normalise)


class Mfcc(nn.Module):
    """Mel-frequency cepstral coefficients of the log mel power: (B, S) -> (B, F, T), T = 1 + S // hop_length."""

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
        options = mel_options(sample_rate, n_mels, n_fft, win_length, hop_length, window, f_min, f_max)
        self.sample_rate = sample_rate
        self.out_dim = n_mfcc
        self.normalise = check_kind(normalise)
        self.min_samples = n_fft // 2 + 1
        self.transform = torchaudio.transforms.MFCC(sample_rate, n_mfcc, log_mels=True, melkwargs=options)

    def forward(self, waveforms: Tensor) -> Tensor:
        return _normalised(self.transform, waveforms, self.min_samples, self.normalise)


def mel_options(
    sample_rate: int,
    n_mels: int,
    n_fft: int,
    win_length: int,
    hop_length: int,
    window: str,
    f_min: float,
    f_max: float | None,
) -> dict[str, Any]:
    """The options both transforms share, checked once. Raises ConfigError naming the option."""
    top = upper_edge(f_min, f_max, sample_rate)
    if hop_length < 1 or n_mels < 1:
        raise ConfigError(f"feature.hop_length={hop_length} and feature.n_mels={n_mels} must be positive")
    if not 0 < win_length <= n_fft:
        raise ConfigError(f"feature.win_length={win_length} must lie in 1 .. feature.n_fft={n_fft}")
    if window not in WINDOWS:
        raise ConfigError(f"feature.window={window!r} does not exist; choose one of {', '.join(WINDOWS)}")
    return {
        "n_fft": n_fft,
        "win_length": win_length,
        "hop_length": hop_length,
        "f_min": f_min,
        "f_max": top,
        "n_mels": n_mels,
        "window_fn": WINDOWS[window],
    }


def _normalised(transform: nn.Module, waveforms: Tensor, min_samples: int, kind: str) -> Tensor:
    if waveforms.shape[-1] < min_samples:
        raise TooShort(f"{waveforms.shape[-1]} samples are less than the {min_samples} of one window; record more")
    frames: Tensor = transform(waveforms.float())
    return normalise(frames, kind)
