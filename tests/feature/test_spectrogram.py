"""The short-time Fourier transform against librosa, torch.stft and the definition."""

import cmath
import math

import librosa
import numpy as np
import pytest
import torch

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.spectrogram import Spectrogram

NOISE = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
SIZES = [(512, 400, 160), (1024, 1024, 320), (400, 400, 160), (500, 301, 77)]


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize(("n_fft", "win", "hop"), SIZES)
def test_magnitudes_equal_librosas(window: str, n_fft: int, win: int, hop: int) -> None:
    feature = Spectrogram(n_fft=n_fft, win_length=win, hop_length=hop, window=window, normalise="none")
    ours = feature(torch.from_numpy(NOISE).unsqueeze(0))[0].numpy()
    theirs = librosa.stft(
        NOISE, n_fft=n_fft, win_length=win, hop_length=hop, window=window, center=True, pad_mode="reflect"
    )
    assert ours.shape == theirs.shape == (feature.out_dim, 1 + 16000 // hop)
    np.testing.assert_allclose(ours, np.abs(theirs), atol=1e-4)


def test_powers_are_squared_magnitudes() -> None:
    waveform = torch.from_numpy(NOISE).unsqueeze(0)
    magnitudes, powers = (Spectrogram(power=power, normalise="none")(waveform) for power in (1, 2))
    torch.testing.assert_close(powers, magnitudes.square())


def test_a_frame_in_the_middle_is_the_transform_by_its_definition() -> None:
    """|sum of w(n) x(n) e^(-2 pi i k n / N)|, one term at a time, around sample 10 * hop."""
    n_fft, win, hop = 64, 40, 16
    feature = Spectrogram(n_fft=n_fft, win_length=win, hop_length=hop, normalise="none")
    ours = feature(torch.from_numpy(NOISE[:400]).unsqueeze(0))[0, :, 10]
    for k in range(n_fft // 2 + 1):
        total = 0j
        for i in range(win):
            n = i + (n_fft - win) // 2  # the window stands in the middle
            weight = 0.5 - 0.5 * math.cos(2 * math.pi * i / win)
            total += weight * float(NOISE[10 * hop - n_fft // 2 + n]) * cmath.exp(-2j * math.pi * k * n / n_fft)
        assert float(ours[k]) == pytest.approx(abs(total), abs=1e-5)


@pytest.mark.parametrize(("hertz", "bin_of_512"), [(1000, 32), (7000, 224), (125, 4)])
def test_a_tone_lies_in_the_bin_of_its_frequency(hertz: float, bin_of_512: int) -> None:
    tone = 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(16000) / 16000).unsqueeze(0)
    features = Spectrogram(normalise="none")(tone)[0, :, 2:-2]
    assert set(features.argmax(dim=0).tolist()) == {bin_of_512}
    # A periodic hann window of 400 sums to 200: half of the amplitude times that.
    torch.testing.assert_close(features[bin_of_512].mean(), torch.tensor(50.0), atol=1.0, rtol=0)


def test_257_frames_take_256_hops_of_sound() -> None:
    """The first origin's network read 257 x 257."""
    assert Spectrogram()(torch.zeros(1, 256 * 160)).shape == (1, 257, 257)


def test_less_than_the_reflected_edge_is_too_short() -> None:
    assert Spectrogram()(torch.zeros(1, 257)).shape == (1, 257, 2)
    with pytest.raises(TooShort, match="256 samples are less than the 257"):
        Spectrogram()(torch.zeros(1, 256))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"power": 3}, "power=3 must be 1 .* or 2"),
        ({"win_length": 513}, "win_length=513 must lie in 1 .. feature.n_fft=512"),
        ({"hop_length": 0}, "hop_length=0"),
        ({"window": "povey"}, "'povey' does not exist; choose one of hann, hamming, blackman"),
        ({"normalise": "off"}, "'off' does not exist"),
    ],
)
def test_a_value_that_does_not_fit_says_why(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Spectrogram(**options)  # type: ignore[arg-type]
