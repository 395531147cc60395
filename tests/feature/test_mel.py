"""Mel spectrogram and MFCC against librosa, which shares no code with torchaudio."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.mel import MelSpectrogram, Mfcc

WINDOWS = ["hann", "hamming", "blackman"]
NOISE = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)


def librosa_mel(window: str, *, rate: int = 16000, n_mels: int = 80, f_max: float = 8000) -> NDArray[np.float32]:
    """What torchaudio's defaults mean: power, HTK's mel scale, triangles of height 1, reflected edges."""
    mel: NDArray[np.float32] = librosa.feature.melspectrogram(
        y=NOISE, sr=rate, n_fft=512, win_length=400, hop_length=160, window=window, center=True, pad_mode="reflect",
        power=2, n_mels=n_mels, fmin=20, fmax=f_max, htk=True, norm=None,
    )  # fmt: skip
    return mel


@pytest.mark.parametrize("window", WINDOWS)
def test_the_mel_spectrogram_equals_librosas(window: str) -> None:
    ours = MelSpectrogram(window=window, normalise="none")(torch.from_numpy(NOISE).unsqueeze(0))
    np.testing.assert_allclose(ours[0].numpy(), librosa_mel(window), rtol=2e-4)


def test_rate_bins_and_band_reach_the_filters() -> None:
    feature = MelSpectrogram(sample_rate=8000, n_mels=30, f_max=3500, normalise="none")
    ours = feature(torch.from_numpy(NOISE).unsqueeze(0))
    np.testing.assert_allclose(ours[0].numpy(), librosa_mel("hann", rate=8000, n_mels=30, f_max=3500), rtol=2e-4)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_mfccs_are_the_cosine_transform_of_librosas_log_mel(window: str, n_mfcc: int) -> None:
    ours = Mfcc(window=window, n_mfcc=n_mfcc, normalise="none")(torch.from_numpy(NOISE).unsqueeze(0))
    log_mel = np.log(librosa_mel(window) + 1e-6)  # 1e-6 is torchaudio's offset
    expected = librosa.feature.mfcc(S=log_mel, n_mfcc=n_mfcc, dct_type=2, norm="ortho")
    np.testing.assert_allclose(ours[0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("feature", [MelSpectrogram(), Mfcc()], ids=["mel", "mfcc"])
def test_every_hop_begins_a_frame(feature: torch.nn.Module) -> None:
    for samples in (257, 1599, 1600, 16000):
        assert feature(torch.zeros(1, samples)).shape[-1] == 1 + samples // 160


@pytest.mark.parametrize("feature", [MelSpectrogram(), Mfcc()], ids=["mel", "mfcc"])
def test_less_than_the_reflected_edge_is_too_short(feature: torch.nn.Module) -> None:
    with pytest.raises(TooShort, match="256 samples are less than the 257"):
        feature(torch.zeros(1, 256))


@pytest.mark.parametrize("kind", [MelSpectrogram, Mfcc])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"f_max": 8001.0}, "<= 8000 Hz, half of feature.sample_rate=16000"),
        ({"win_length": 513}, "win_length=513 must lie in 1 .. feature.n_fft=512"),
        ({"win_length": 0}, "win_length=0"),
        ({"hop_length": 0}, "hop_length=0"),
        ({"window": "povey"}, "'povey' does not exist; choose one of hann, hamming, blackman"),
        ({"normalise": "off"}, "'off' does not exist"),
    ],
)
def test_a_value_that_does_not_fit_says_why(kind: type, options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        kind(**options)


@pytest.mark.parametrize("n_mfcc", [0, 81])
def test_there_are_at_most_as_many_coefficients_as_bins(n_mfcc: int) -> None:
    with pytest.raises(ConfigError, match=f"n_mfcc={n_mfcc} must lie in 1 .. feature.n_mels=80"):
        Mfcc(n_mfcc=n_mfcc)
