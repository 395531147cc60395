"""Frames of samples: by hand, and as what a learned filter bank is computed from."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.waveform import Waveform


def test_frames_are_stretches_of_samples_a_hop_apart() -> None:
    frames = Waveform(frame_length=4, hop_length=3)(torch.arange(11.0).unsqueeze(0))
    expected = [[0.0, 3.0, 6.0], [1.0, 4.0, 7.0], [2.0, 5.0, 8.0], [3.0, 6.0, 9.0]]  # sample 10 fills no frame
    assert frames.tolist() == [expected]


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_frames_never_reach_beyond_the_end(samples: int, frames: int) -> None:
    assert Waveform()(torch.zeros(2, samples)).shape == (2, 400, frames)


def test_a_convolution_over_the_frames_is_a_filter_bank_over_the_waveform() -> None:
    """One weight of a convolution with kernel size 1 over the bins is one tap of a filter with the feature's hop."""
    waveforms = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    filters = nn.Conv1d(400, 8, kernel_size=1, bias=False)
    expected = functional.conv1d(waveforms.unsqueeze(1), filters.weight.transpose(1, 2), stride=160)
    torch.testing.assert_close(filters(Waveform()(waveforms)), expected, atol=1e-4, rtol=1e-4)


def test_the_frames_share_no_memory_with_the_recording() -> None:
    waveforms = torch.zeros(1, 800)
    Waveform()(waveforms).add_(1)
    assert not waveforms.any()


def test_less_than_one_frame_is_too_short() -> None:
    with pytest.raises(TooShort, match="399 samples are less than one frame of 400"):
        Waveform()(torch.zeros(1, 399))


@pytest.mark.parametrize("options", [{"frame_length": 0}, {"hop_length": 0}])
def test_frames_and_hops_of_no_samples_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        Waveform(**options)  # type: ignore[arg-type]
