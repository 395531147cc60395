"""Normalisation over the frames of one recording."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.errors import ConfigError
from speaker_id.feature.normalise import KINDS, check_kind, normalise

FRAMES = torch.tensor([[[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]]])  # means 3 and 5, deviations sqrt(3.5) and 0


def test_none_leaves_the_frames_alone() -> None:
    assert torch.equal(normalise(FRAMES, "none"), FRAMES)


def test_mean_is_taken_from_every_bin() -> None:
    expected = torch.tensor([[[-2.0, -1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]]])
    assert torch.equal(normalise(FRAMES, "mean"), expected)


def test_mean_variance_divides_by_the_deviation_and_keeps_a_constant_bin_at_zero() -> None:
    expected = torch.tensor([[[-2.0, -1.0, 0.0, 3.0], [0.0] * 4]]) / 3.5**0.5
    torch.testing.assert_close(normalise(FRAMES, "mean_variance"), expected, atol=2e-5, rtol=0)


def test_per_frame_takes_mean_and_deviation_over_the_bins_of_each_frame() -> None:
    # The columns 1 5, 2 5, 3 5 and 6 5: half their difference d away from their mean, which is also their deviation.
    signs = torch.tensor([[[-1.0, -1.0, -1.0, 1.0], [1.0, 1.0, 1.0, -1.0]]])
    torch.testing.assert_close(normalise(FRAMES, "per_frame"), signs, atol=3e-5, rtol=0)


def test_per_frame_is_the_first_origins_formula() -> None:
    """Minus the mean, divided by deviation + 1e-5, along the bins of a magnitude spectrogram."""
    magnitudes = torch.rand(1, 257, 40, generator=torch.Generator().manual_seed(0)) * 1e-4  # so small that 1e-5 counts
    expected = magnitudes[0].numpy()
    expected = (expected - expected.mean(0)) / (expected.std(0) + 1e-5)
    torch.testing.assert_close(normalise(magnitudes, "per_frame")[0], torch.from_numpy(expected), atol=1e-5, rtol=1e-4)


def test_a_constant_frame_is_zero_per_frame() -> None:
    assert torch.equal(normalise(torch.full((1, 4, 2), 3.0), "per_frame"), torch.zeros(1, 4, 2))


@given(seed=st.integers(0, 2**16), num_frames=st.integers(2, 60))
def test_normalised_bins_have_mean_zero_and_deviation_one(seed: int, num_frames: int) -> None:
    # In double precision: the rounding of two nearly equal frames, divided by their deviation, is no error of ours.
    frames = torch.randn(2, 3, num_frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + 7
    for kind in ("mean", "mean_variance"):
        assert normalise(frames, kind).mean(-1).abs().max() < 1e-6
    deviation = normalise(frames, "mean_variance").std(-1, correction=0)
    assert deviation.max() < 1 + 1e-3
    wide = frames.std(-1, correction=0) > 0.1
    assert bool((deviation[wide] > 1 - 1e-3).all())


def test_the_argument_is_not_changed() -> None:
    frames = FRAMES.clone()
    for kind in KINDS:
        normalise(frames, kind)
    assert torch.equal(frames, FRAMES)


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'cmn' does not exist; choose one of mean, mean_variance, per_frame, none"):
        check_kind("cmn")
