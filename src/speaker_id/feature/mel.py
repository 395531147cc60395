"""Mel spectrogram, its logarithm and its cepstrum, as torchaudio defines them.

Mel filters are triangles over the power spectrum: of height 1 on HTK's mel scale, 2595 log10(1 + f / 700), or of
area 1 on Slaney's, linear up to 1 kHz and logarithmic above, which is librosa's.
"""

import torch
from torch import Tensor, nn
from torchaudio.functional import create_dct, melscale_fbanks

from speaker_id.errors import ConfigError
from speaker_id.feature.band import upper_edge
from speaker_id.feature.normalise import check_kind, normalise
from speaker_id.feature.spectrogram import Stft

LOG_MEL_FLOOR = 1e-10  # of power; 100 dB under a mel bin of power 1
SILENCE = 1e-10  # of mean square: what is 100 dB under full scale is not raised any further
CEPSTRUM_OFFSET = 1e-6  # torchaudio's, added to the power


class MelSpectrogram(nn.Module):
    """Mel spectrogram (power, not logarithmic): (B, S) -> (B, F, T), T = 1 + S // hop_length.

    `win_length` and `hop_length` are samples, `f_max=None` is half the sample rate. A recording quieter than
    `loudness_db` (its root mean square against full scale) is made as loud first; None leaves it. Raises ConfigError
    for values that do not fit, TooShort for a recording of no more than half of `n_fft`.
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
        mel_scale: str = "htk",
        normalise: str = "mean_variance",
        loudness_db: float | None = None,
    ) -> None:
        super().__init__()
        top = upper_edge(f_min, f_max, sample_rate)
        if n_mels < 1:
            raise ConfigError(f"feature.n_mels={n_mels} must be positive")
        self.stft = Stft(n_fft=n_fft, win_length=win_length, hop_length=hop_length, window=window)
        self.sample_rate = sample_rate
        self.out_dim = n_mels
        self.normalise = check_kind(normalise)
        self.loudness_db = loudness_db
        filters = _mel_filters(mel_scale, self.stft.num_bins, f_min, top, n_mels, sample_rate)
        self.register_buffer("mel_filters", filters, persistent=False)  # (n_fft // 2 + 1, F)

    def forward(self, waveforms: Tensor) -> Tensor:
        if self.loudness_db is not None:
            waveforms = _at_least_as_loud(waveforms, self.loudness_db)
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
        mel_scale: str = "htk",
        normalise: str = "mean",
    ) -> None:
        super().__init__()
        self.mel = MelSpectrogram(
            sample_rate=sample_rate, n_mels=n_mels, n_fft=n_fft, win_length=win_length, hop_length=hop_length,
            window=window, f_min=f_min, f_max=f_max, mel_scale=mel_scale, normalise="none",
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
        mel_scale: str = "htk",
        normalise: str = "mean",
    ) -> None:
        super().__init__()
        if not 1 <= n_mfcc <= n_mels:
            raise ConfigError(f"feature.n_mfcc={n_mfcc} must lie in 1 .. feature.n_mels={n_mels}")
        self.mel = MelSpectrogram(
            sample_rate=sample_rate, n_mels=n_mels, n_fft=n_fft, win_length=win_length, hop_length=hop_length,
            window=window, f_min=f_min, f_max=f_max, mel_scale=mel_scale, normalise="none",
        )  # fmt: skip
        self.sample_rate = sample_rate
        self.out_dim = n_mfcc
        self.normalise = check_kind(normalise)
        self.register_buffer("dct", create_dct(n_mfcc, n_mels, norm="ortho").T.contiguous(), persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        log_mel = (self.mel(waveforms) + CEPSTRUM_OFFSET).log()
        return normalise(torch.matmul(self.dct, log_mel), self.normalise)


def _mel_filters(kind: str, num_bins: int, f_min: float, f_max: float, n_mels: int, sample_rate: int) -> Tensor:
    """(num_bins, n_mels)"""
    areas = {"htk": None, "slaney": "slaney"}
    if kind not in areas:
        raise ConfigError(f"feature.mel_scale={kind!r} does not exist; choose one of {', '.join(areas)}")
    filters: Tensor = melscale_fbanks(num_bins, f_min, f_max, n_mels, sample_rate, norm=areas[kind], mel_scale=kind)
    return filters


def _at_least_as_loud(waveforms: Tensor, loudness_db: float) -> Tensor:
    level_db = 10 * waveforms.square().mean(dim=-1, keepdim=True).clamp_min(SILENCE).log10()
    gain: Tensor = 10 ** ((loudness_db - level_db).clamp_min(0.0) / 20)
    return waveforms * gain
