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


@given(seed=st.integers(0, 2**16), num_frames=st.integers(2, 60))
def test_normalised_bins_have_mean_zero_and_deviation_one(seed: int, num_frames: int) -> None:
    frames = torch.randn(2, 3, num_frames, generator=torch.Generator().manual_seed(seed)) * 3 + 7
    for kind in ("mean", "mean_variance"):
        torch.testing.assert_close(normalise(frames, kind).mean(-1), torch.zeros(2, 3), atol=1e-4, rtol=0)
    deviation = normalise(frames, "mean_variance").std(-1, correction=0)
    assert deviation.max() < 1 + 1e-3
    wide = frames.std(-1, correction=0) > 0.1
    torch.testing.assert_close(deviation[wide], torch.ones(int(wide.sum())), atol=1e-3, rtol=0)


def test_the_argument_is_not_changed() -> None:
    frames = FRAMES.clone()
    for kind in KINDS:
        normalise(frames, kind)
    assert torch.equal(frames, FRAMES)


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'cmn' does not exist; choose one of mean, mean_variance, none"):
        check_kind("cmn")
