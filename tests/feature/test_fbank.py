"""The log mel filter bank against Kaldi's definition: torchaudio's port, a slow reference, and stored numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.compliance import kaldi

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.fbank import Fbank

KALDI_WINDOWS = {"hamming": "hamming", "hann": "hanning", "povey": "povey", "rectangular": "rectangular"}

# Bins 0, 10, 40, 79 (down) at frames 0, 20, 47 (across) of the chirp below.
GOLDEN = [
    [13.3894, 12.0200, 12.4818],
    [22.1484, 12.3670, 12.7666],
    [10.5004, 16.0843, 15.3868],
    [9.2928, 13.1197, 14.9300],
]


def noise(rate: int, seed: int = 0) -> Tensor:
    """One second of (1, S) pink-ish noise, fixed."""
    white = np.random.default_rng(seed).normal(0, 0.02, rate)
    return torch.from_numpy(white + 0.9 * np.roll(white, 1)).float().unsqueeze(0)


def chirp(rate: int = 16000) -> Tensor:
    """Half a second of (1, S) tone that rises from 200 Hz to 3 kHz."""
    time = torch.arange(rate // 2, dtype=torch.float64) / rate
    return (0.3 * torch.sin(2 * math.pi * (200 + 2800 * time) * time)).float().unsqueeze(0)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("n_mels", [23, 40, 80])
@pytest.mark.parametrize("window", KALDI_WINDOWS)
def test_it_equals_kaldi_on_16_bit_scale(rate: int, n_mels: int, window: str) -> None:
    ours = Fbank(sample_rate=rate, n_mels=n_mels, window=window, normalise="none")(noise(rate))[0]
    theirs = kaldi.fbank(
        32768 * noise(rate), dither=0, num_mel_bins=n_mels, window_type=KALDI_WINDOWS[window], sample_frequency=rate
    )
    torch.testing.assert_close(ours, theirs.T, atol=5e-4, rtol=0)


def test_it_equals_kaldi_on_real_speech(speech: Path) -> None:
    samples, rate = soundfile.read(next(speech.glob("*/**/*.flac")), dtype="float32", always_2d=True)
    recording = torch.from_numpy(samples.T[:1].copy())
    ours = Fbank(sample_rate=rate, normalise="none")(recording)[0]
    theirs = kaldi.fbank(32768 * recording, dither=0, num_mel_bins=80, window_type="hamming", sample_frequency=rate)
    torch.testing.assert_close(ours, theirs.T, atol=5e-4, rtol=0)


@pytest.mark.parametrize("band", [(0.0, 8000.0), (100.0, 3800.0)])
def test_the_band_and_the_frame_sizes_are_kaldis_too(band: tuple[float, float]) -> None:
    ours = Fbank(frame_length_ms=32, frame_shift_ms=8, f_min=band[0], f_max=band[1], normalise="none")(noise(16000))[0]
    theirs = kaldi.fbank(
        32768 * noise(16000), dither=0, num_mel_bins=80, window_type="hamming", frame_length=32, frame_shift=8,
        low_freq=band[0], high_freq=band[1],
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs.T, atol=5e-4, rtol=0)


def slow_fbank(samples: NDArray[np.float64], n_mels: int) -> NDArray[np.float64]:
    """Kaldi's definition word by word at 16 kHz, one frame, bin and triangle at a time: (S,) -> (F, T)."""
    frame, hop, n_fft, low, high = 400, 160, 512, 20.0, 8000.0

    def mel(hertz: float) -> float:
        return 1127.0 * math.log(1.0 + hertz / 700.0)

    edges = [mel(low) + i * (mel(high) - mel(low)) / (n_mels + 1) for i in range(n_mels + 2)]
    hamming = np.array([0.54 - 0.46 * math.cos(2 * math.pi * i / (frame - 1)) for i in range(frame)])
    columns = []
    for start in range(0, len(samples) - frame + 1, hop):
        part = 32768.0 * samples[start : start + frame]
        part = part - part.mean()
        part = np.array([part[i] - 0.97 * part[max(0, i - 1)] for i in range(frame)])
        angles = np.outer(np.arange(n_fft // 2), np.arange(frame)) * (-2j * np.pi / n_fft)
        power = np.abs(np.exp(angles) @ (part * hamming)) ** 2
        column = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k in range(n_fft // 2):
                at = mel(k * 16000 / n_fft)
                if left < at < right:
                    total += power[k] * (
                        (at - left) / (centre - left) if at <= centre else (right - at) / (right - centre)
                    )
            column.append(math.log(max(total, 2.0**-23)))
        columns.append(column)
    return np.array(columns).T


@pytest.mark.parametrize("n_mels", [24, 80])
def test_it_equals_a_slow_and_obvious_reference(n_mels: int) -> None:
    samples = noise(16000)[:, :2000]
    ours = Fbank(n_mels=n_mels, normalise="none")(samples)[0].numpy()
    np.testing.assert_allclose(ours, slow_fbank(samples[0].double().numpy(), n_mels), atol=5e-4)


def test_the_numbers_of_a_fixed_chirp_stay_as_they_are() -> None:
    features = Fbank(normalise="none")(chirp())[0]
    assert features.shape == (80, 48)
    torch.testing.assert_close(features[[0, 10, 40, 79]][:, [0, 20, 47]], torch.tensor(GOLDEN), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_never_reach_beyond_the_end(samples: int, frames: int) -> None:
    assert Fbank()(torch.zeros(2, samples)).shape == (2, 80, frames)


def test_less_than_one_frame_is_too_short() -> None:
    with pytest.raises(TooShort, match="399 samples are less than one frame of 400"):
        Fbank()(torch.zeros(1, 399))


def test_a_recording_does_not_depend_on_its_batch_mates() -> None:
    batch = torch.cat([noise(16000, seed) for seed in range(3)])
    feature = Fbank()
    together = feature(batch)
    for row in range(3):
        assert torch.equal(together[row : row + 1], feature(batch[row : row + 1]))


def test_a_constant_offset_changes_nothing() -> None:
    torch.testing.assert_close(Fbank()(noise(16000) + 0.1), Fbank()(noise(16000)), atol=2e-2, rtol=0)


@pytest.mark.parametrize("factor", [0.25, 2.0])
def test_a_louder_recording_only_shifts_every_bin(factor: float) -> None:
    feature = Fbank(normalise="none")
    shift = feature(factor * noise(16000)) - feature(noise(16000))
    torch.testing.assert_close(shift, torch.full_like(shift, 2 * math.log(factor)), atol=1e-4, rtol=0)


def test_silence_sits_on_kaldis_floor() -> None:
    features = Fbank(normalise="none")(torch.zeros(1, 800))
    assert torch.equal(features, torch.full_like(features, math.log(2.0**-23)))


def test_a_tone_lies_in_the_bin_of_its_pitch() -> None:
    tone = 0.1 * torch.sin(2 * math.pi * 1000 * torch.arange(16000) / 16000).unsqueeze(0)
    features = Fbank(n_mels=40, normalise="none")(tone)[0]
    step = (1127 * math.log1p(8000 / 700) - 1127 * math.log1p(20 / 700)) / 41
    expected = round((1127 * math.log1p(1000 / 700) - 1127 * math.log1p(20 / 700)) / step) - 1
    assert set(features.argmax(dim=0).tolist()) == {expected}


def test_half_precision_waveforms_are_computed_in_full() -> None:
    assert Fbank()(noise(16000).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"f_max": 8000.5}, "f_max=8000.5 is above 8000 Hz, half of feature.sample_rate=16000"),
        ({"sample_rate": 8000, "f_max": 7600.0}, "above 4000 Hz, .* raise feature.sample_rate to 15200 or more"),
        ({"f_min": 4000.0, "f_max": 3000.0}, "0 <= f_min < f_max"),
        ({"f_min": -1.0}, "0 <= f_min"),
        ({"window": "haming"}, "'haming' does not exist; choose one of hamming, hann, povey, rectangular"),
        ({"normalise": "cmvn"}, "'cmvn' does not exist; choose one of mean, mean_variance, per_frame, none"),
        ({"frame_shift_ms": 0.0}, "frame_shift_ms=0.0"),
        ({"frame_length_ms": 0.0}, "frame_length_ms=0.0"),
        ({"n_mels": 0}, "n_mels=0"),
    ],
)
def test_a_value_that_does_not_fit_says_why(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Fbank(**options)
