"""Mel spectrogram, its logarithm and MFCC against librosa, which shares no code with torchaudio."""

import math

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.mel import LogMelSpectrogram, MelSpectrogram, Mfcc

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
def test_the_log_mel_spectrogram_is_librosas_in_decibels(window: str) -> None:
    ours = LogMelSpectrogram(window=window, normalise="none")(torch.from_numpy(NOISE).unsqueeze(0))
    decibels = librosa.power_to_db(librosa_mel(window), ref=1.0, amin=1e-10, top_db=None)
    np.testing.assert_allclose(10 / math.log(10) * ours[0].numpy(), decibels, atol=2e-3)


def slow_log_mel(samples: NDArray[np.float64], *, n_mels: int, n_fft: int, win: int, hop: int) -> NDArray[np.float64]:
    """The definition word by word at 16 kHz, one frame, bin and triangle at a time: (S,) -> (F, T)."""

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    edges = [mel(20) + i * (mel(8000) - mel(20)) / (n_mels + 1) for i in range(n_mels + 2)]
    edges = [700.0 * (10 ** (edge / 2595.0) - 1.0) for edge in edges]  # Hz: triangles are straight in Hz here
    window = np.zeros(n_fft)
    for i in range(win):
        window[(n_fft - win) // 2 + i] = 0.5 - 0.5 * math.cos(2 * math.pi * i / win)
    angles = np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) * (-2j * np.pi / n_fft)
    columns = []
    for centre in range(0, len(samples) + 1, hop):
        reach = [abs(i) for i in range(centre - n_fft // 2, centre + n_fft // 2)]
        reach = [i if i < len(samples) else 2 * (len(samples) - 1) - i for i in reach]
        power = np.abs(np.exp(angles) @ (samples[reach] * window)) ** 2
        column = []
        for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k, value in enumerate(power):
                hertz = k * 16000 / n_fft
                if left < hertz < right:
                    total += value * min((hertz - left) / (middle - left), (right - hertz) / (right - middle))
            column.append(math.log(max(total, 1e-10)))
        columns.append(column)
    return np.array(columns).T


@pytest.mark.parametrize(("n_fft", "win", "hop"), [(512, 400, 160), (400, 400, 160), (600, 301, 250)])
def test_the_log_mel_spectrogram_equals_a_slow_and_obvious_reference(n_fft: int, win: int, hop: int) -> None:
    feature = LogMelSpectrogram(n_mels=24, n_fft=n_fft, win_length=win, hop_length=hop, normalise="none")
    ours = feature(torch.from_numpy(NOISE[:2000]).unsqueeze(0))[0].numpy()
    expected = slow_log_mel(NOISE[:2000].astype(np.float64), n_mels=24, n_fft=n_fft, win=win, hop=hop)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=5e-4)


def test_the_logarithm_of_silence_is_that_of_its_floor() -> None:
    features = LogMelSpectrogram(normalise="none")(torch.zeros(1, 1600))
    torch.testing.assert_close(features, torch.full((1, 80, 11), math.log(1e-10)))


def test_only_what_lies_under_the_floor_is_lifted() -> None:
    quiet = torch.from_numpy(NOISE).unsqueeze(0) * 1e-5  # mel powers of about 1e-8 at the top, 1e-10 at the bottom
    power = MelSpectrogram(normalise="none")(quiet)
    log_power = LogMelSpectrogram(normalise="none")(quiet)
    assert bool((power < 1e-10).any())
    assert bool((power > 1e-10).any())
    torch.testing.assert_close(log_power, power.clamp_min(1e-10).log())


@pytest.mark.parametrize("kind", [MelSpectrogram, LogMelSpectrogram])
def test_a_rising_tone_climbs_through_the_mel_bins(kind: type) -> None:
    """From 200 Hz to 7 kHz in a second; in every frame the loudest bin is the one whose centre is nearest in mel."""
    time = torch.arange(16000, dtype=torch.float64) / 16000
    tone = torch.sin(2 * math.pi * (200 + 3400 * time) * time).float().unsqueeze(0)
    loudest = kind(n_mels=40, normalise="none")(tone)[0].argmax(dim=0)[3:-3]  # at the ends the tone is reflected
    low, high = (2595 * math.log10(1 + f / 700) for f in (20, 8000))
    hertz = 200 + 6800 * torch.arange(3, 98) / 100
    centre = ((2595 * torch.log10(1 + hertz / 700) - low) / (high - low) * 41 - 1).round()
    assert int((loudest - centre).abs().max()) <= 1
    assert float((loudest == centre).float().mean()) > 0.8


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_mfccs_are_the_cosine_transform_of_librosas_log_mel(window: str, n_mfcc: int) -> None:
    ours = Mfcc(window=window, n_mfcc=n_mfcc, normalise="none")(torch.from_numpy(NOISE).unsqueeze(0))
    log_mel = np.log(librosa_mel(window) + 1e-6)  # 1e-6 is torchaudio's offset
    expected = librosa.feature.mfcc(S=log_mel, n_mfcc=n_mfcc, dct_type=2, norm="ortho")
    np.testing.assert_allclose(ours[0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("feature", [MelSpectrogram(), LogMelSpectrogram(), Mfcc()], ids=["mel", "log_mel", "mfcc"])
def test_every_hop_begins_a_frame(feature: torch.nn.Module) -> None:
    for samples in (257, 1599, 1600, 16000):
        assert feature(torch.zeros(1, samples)).shape[-1] == 1 + samples // 160


@pytest.mark.parametrize("feature", [MelSpectrogram(), LogMelSpectrogram(), Mfcc()], ids=["mel", "log_mel", "mfcc"])
def test_less_than_the_reflected_edge_is_too_short(feature: torch.nn.Module) -> None:
    with pytest.raises(TooShort, match="256 samples are less than the 257"):
        feature(torch.zeros(1, 256))


@pytest.mark.parametrize("kind", [MelSpectrogram, LogMelSpectrogram, Mfcc])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"f_max": 8001.0}, "above 8000 Hz, half of feature.sample_rate=16000"),
        ({"f_min": 8000.0}, "0 <= f_min < f_max, and feature.f_max is 8000 Hz"),
        ({"n_mels": 0}, "n_mels=0"),
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


def test_slaneys_scale_is_librosas_default() -> None:
    feature = MelSpectrogram(n_mels=40, n_fft=400, f_min=0.0, mel_scale="slaney", normalise="none")
    theirs = librosa.feature.melspectrogram(y=NOISE, sr=16000, n_fft=400, hop_length=160, n_mels=40, pad_mode="reflect")
    np.testing.assert_allclose(feature(torch.from_numpy(NOISE).unsqueeze(0))[0].numpy(), theirs, rtol=2e-4)


def test_an_unknown_mel_scale_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"feature\.mel_scale='bark' does not exist; choose one of htk, slaney"):
        MelSpectrogram(mel_scale="bark")


def test_a_quiet_recording_is_made_as_loud_as_asked_and_a_loud_one_left_alone() -> None:
    bare, levelled = (MelSpectrogram(normalise="none", loudness_db=level) for level in (None, -30.0))
    loud = torch.from_numpy(NOISE).unsqueeze(0)  # -20 dB
    quiet = loud * 10 ** (-25 / 20)  # -45 dB, 15 dB too quiet
    torch.testing.assert_close(levelled(loud), bare(loud))
    raised_db = 10 * math.log10(float(levelled(quiet).sum() / bare(quiet).sum()))
    level_db = 20 * math.log10(float(np.sqrt(np.mean(NOISE**2))))
    assert raised_db == pytest.approx(-30 - (level_db - 25), abs=0.01)
    assert float(levelled(torch.zeros(1, 16000)).abs().max()) == 0.0
