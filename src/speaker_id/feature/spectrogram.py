"""Spectra of centred frames: the short-time Fourier transform behind the spectrogram and the mel features."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.frames import by_chunk, power_spectrum
from speaker_id.feature.normalise import check_kind, normalise

WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}


class Stft(nn.Module):
    """Power spectra of frames around every `hop_length`-th sample: (B, S) -> (B, F, T), T = 1 + S // hop_length.

    The definition of `torch.stft(center=True)` and librosa: periodic windows of `win_length` samples in the middle of
    `n_fft`, the recording's ends reflected. `finish` turns (..., n_fft // 2 + 1) powers into the F bins wanted.
    Raises TooShort for a recording that reflection cannot lengthen.
    """

    window: Tensor

    def __init__(self, *, n_fft: int, win_length: int, hop_length: int, window: str) -> None:
        super().__init__()
        if not 0 < win_length <= n_fft:
            raise ConfigError(f"feature.win_length={win_length} must lie in 1 .. feature.n_fft={n_fft}")
        if hop_length < 1:
            raise ConfigError(f"feature.hop_length={hop_length} must be positive")
        if window not in WINDOWS:
            raise ConfigError(f"feature.window={window!r} does not exist; choose one of {', '.join(WINDOWS)}")
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.num_bins = n_fft // 2 + 1
        left = (n_fft - win_length) // 2
        padded = functional.pad(WINDOWS[window](win_length), (left, n_fft - win_length - left))
        self.register_buffer("window", padded, persistent=False)

    def forward(self, waveforms: Tensor, finish: Callable[[Tensor], Tensor]) -> Tensor:
        edge = self.n_fft // 2
        if waveforms.shape[-1] <= edge:
            raise TooShort(f"{waveforms.shape[-1]} samples are less than the {edge + 1} of one window; record more")
        frames = functional.pad(waveforms.float(), (edge, edge), mode="reflect").unfold(-1, self.n_fft, self.hop_length)
        return by_chunk(frames, lambda part: finish(power_spectrum(part * self.window, self.n_fft)))


class Spectrogram(nn.Module):
    """Magnitudes (`power=1`) or powers (`power=2`) of the short-time Fourier transform: (B, S) -> (B, F, T).

    F = n_fft // 2 + 1, T = 1 + S // hop_length. `win_length` and `hop_length` are samples.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        n_fft: int = 512,
        win_length: int = 400,
        hop_length: int = 160,
        window: str = "hann",
        power: int = 1,
        normalise: str = "mean_variance",
    ) -> None:
        super().__init__()
        if power not in (1, 2):
            raise ConfigError(f"feature.power={power} must be 1 (magnitude) or 2 (power)")
        self.stft = Stft(n_fft=n_fft, win_length=win_length, hop_length=hop_length, window=window)
        self.sample_rate = sample_rate
        self.out_dim = self.stft.num_bins
        self.finish = torch.sqrt if power == 1 else nn.Identity()
        self.normalise = check_kind(normalise)

    def forward(self, waveforms: Tensor) -> Tensor:
        return normalise(self.stft(waveforms, self.finish), self.normalise)
