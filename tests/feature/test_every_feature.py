"""What every leaf of conf/feature promises."""

from functools import cache
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from leaves import composed, leaves
from speaker_id import build
from speaker_id.errors import ConfigError, TooShort


@cache
def feature(leaf: str) -> nn.Module:
    return build.feature(composed(f"feature={leaf}").feature)


def voices(num: int, seconds: float, sample_rate: int) -> Tensor:
    """(B, S) noise under a moving envelope, each its own."""
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    pitches = torch.rand(num, 1, generator=generator) * 200 + 100
    wave = torch.sin(2 * torch.pi * pitches * time * (1 + 0.2 * time)) + 0.1 * torch.randn(
        num, len(time), generator=generator
    )
    return 0.2 * wave * (0.6 + 0.4 * torch.sin(2 * torch.pi * 4 * time))


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_turns_samples_into_frames_of_its_size(leaf: str) -> None:
    module: Any = feature(leaf)
    short, long = (module(voices(3, seconds, module.sample_rate)) for seconds in (0.5, 1.0))
    assert short.shape[:2] == long.shape[:2] == (3, module.out_dim)
    assert 0 < short.shape[-1] < long.shape[-1]
    assert long.dtype == torch.float32
    assert bool(long.isfinite().all())


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_is_deterministic_and_changes_neither_argument_nor_random_state(leaf: str) -> None:
    module: Any = feature(leaf)
    waveforms = voices(2, 0.5, module.sample_rate)
    kept, state = waveforms.clone(), torch.random.get_rng_state()
    assert torch.equal(module(waveforms), module(waveforms))
    assert torch.equal(waveforms, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_of_one_recording_does_not_depend_on_its_batch_mates(leaf: str) -> None:
    module: Any = feature(leaf)
    waveforms = voices(3, 0.7, module.sample_rate)
    alone = torch.cat([module(waveforms[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(module(waveforms), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_carries_nothing_learned_and_little_to_save(leaf: str) -> None:
    module = feature(leaf)
    assert not list(module.parameters())
    assert sum(tensor.nbytes for tensor in module.state_dict().values()) < 256 * 1024


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_refuses_less_than_one_frame(leaf: str) -> None:
    with pytest.raises(TooShort, match="record more"):
        feature(leaf)(torch.zeros(1, 100))


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_of_silence_is_finite(leaf: str) -> None:
    module: Any = feature(leaf)
    assert bool(module(torch.zeros(1, module.sample_rate)).isfinite().all())


@pytest.mark.parametrize("leaf", leaves("feature"))
def test_a_feature_at_the_telephones_rate_reaches_up_to_4_khz(leaf: str) -> None:
    config = composed(f"feature={leaf}", "feature.sample_rate=8000", "feature.n_mels=40")
    module: Any = build.feature(config.feature)
    assert bool(module(voices(1, 0.5, 8000)).isfinite().all())
    with pytest.raises(ConfigError, match=r"4000 Hz, half of feature.sample_rate=8000"):
        build.feature(OmegaConf.merge(config.feature, {"f_max": 7600}))
