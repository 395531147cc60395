"""What every leaf of conf/feature promises."""

from functools import cache
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from leaves import alone, composed, leaves
from speaker_id import build
from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.normalise import KINDS, normalise

# A leaf that asks for a model of the user's has tests of its own.
LEAVES = [leaf for leaf in leaves("feature") if not OmegaConf.missing_keys(alone("feature", leaf))]


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


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_turns_samples_into_frames_of_its_size(leaf: str) -> None:
    module: Any = feature(leaf)
    short, long = (module(voices(3, seconds, module.sample_rate)) for seconds in (0.5, 1.0))
    assert short.shape[:2] == long.shape[:2] == (3, module.out_dim)
    assert 0 < short.shape[-1] < long.shape[-1]
    assert long.dtype == torch.float32
    assert bool(long.isfinite().all())


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_is_deterministic_and_changes_neither_argument_nor_random_state(leaf: str) -> None:
    module: Any = feature(leaf)
    waveforms = voices(2, 0.5, module.sample_rate)
    kept, state = waveforms.clone(), torch.random.get_rng_state()
    assert torch.equal(module(waveforms), module(waveforms))
    assert torch.equal(waveforms, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_of_one_recording_does_not_depend_on_its_batch_mates(leaf: str) -> None:
    module: Any = feature(leaf)
    waveforms = voices(3, 0.7, module.sample_rate)
    alone = torch.cat([module(waveforms[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(module(waveforms), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_carries_nothing_learned_and_little_to_save(leaf: str) -> None:
    module = feature(leaf)
    assert not list(module.parameters())
    assert sum(tensor.nbytes for tensor in module.state_dict().values()) < 256 * 1024


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_refuses_less_than_one_frame(leaf: str) -> None:
    with pytest.raises(TooShort, match="record more"):
        feature(leaf)(torch.zeros(1, 100))


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_feature_of_silence_is_finite(leaf: str) -> None:
    module: Any = feature(leaf)
    assert bool(module(torch.zeros(1, module.sample_rate)).isfinite().all())


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_takes_every_normalisation(leaf: str, kind: str) -> None:
    plain: Any = build.feature(composed(f"feature={leaf}", "feature.normalise=none").feature)
    module: Any = build.feature(composed(f"feature={leaf}", f"feature.normalise={kind}").feature)
    waveforms = voices(2, 0.5, module.sample_rate)
    torch.testing.assert_close(module(waveforms), normalise(plain(waveforms), kind))
    assert bool(module(torch.zeros(1, 8000)).isfinite().all())


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_feature_computes_in_single_precision_whatever_it_is_given(leaf: str, dtype: torch.dtype) -> None:
    module: Any = feature(leaf)
    waveforms = voices(2, 0.5, module.sample_rate).to(dtype)
    features = module(waveforms)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, module(waveforms.float()))


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_long_recording_has_the_frames_of_its_parts(leaf: str) -> None:
    """Frames far from the cut cannot know of it, wherever the computation takes its pauses."""
    module: Any = build.feature(composed(f"feature={leaf}", "feature.normalise=none").feature)
    waveforms = voices(1, 3.5, module.sample_rate)
    whole, part = module(waveforms), module(waveforms[:, : 160 * 150])
    torch.testing.assert_close(whole[..., :140], part[..., :140], atol=1e-4, rtol=1e-4)
    later = module(waveforms[:, 160 * 150 :])
    torch.testing.assert_close(whole[..., 160:340], later[..., 10:190], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_compiler_traces_a_feature_whole_and_changes_nothing(leaf: str) -> None:
    module: Any = feature(leaf)
    waveforms = voices(2, 1.3, module.sample_rate)
    torch.compiler.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(waveforms), module(waveforms), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("leaf", LEAVES)
def test_an_exported_feature_takes_any_number_of_recordings_of_any_length(leaf: str) -> None:
    module: Any = feature(leaf)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("samples", min=1600, max=160000)}
    exported: Any = torch.export.export(module, (voices(2, 0.7, module.sample_rate),), dynamic_shapes=(sizes,)).module()
    for num, seconds in ((1, 0.5), (3, 1.3)):
        waveforms = voices(num, seconds, module.sample_rate)
        torch.testing.assert_close(exported(waveforms), module(waveforms), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if "f_max" in alone("feature", leaf)])
def test_a_feature_at_the_telephones_rate_reaches_up_to_4_khz(leaf: str) -> None:
    config = composed(f"feature={leaf}", "feature.sample_rate=8000", "feature.n_mels=40")
    module: Any = build.feature(config.feature)
    assert bool(module(voices(1, 0.5, 8000)).isfinite().all())
    with pytest.raises(ConfigError, match=r"4000 Hz, half of feature.sample_rate=8000"):
        build.feature(OmegaConf.merge(config.feature, {"f_max": 7600}))


# The feature sets printed in ppvector's documents, under its own names (of which `sr` is our sample_rate).
WIDE = {"n_fft": 1024, "hop_length": 320, "win_length": 1024, "window": "hann"}
BAND = {"f_min": 50.0, "n_mels": 64}
LOGGED = {"n_fft": 400, "hop_length": 160, "win_length": 400, "window": "hann", "n_mels": 80}
ORIGIN = [
    ("mel", {**WIDE, **BAND}, 64),
    ("log_mel", {**WIDE, **BAND}, 64),
    ("mfcc", {**WIDE, **BAND, "n_mfcc": 40}, 40),
    ("spectrogram", WIDE, 513),
    ("mel", LOGGED, 80),
    ("log_mel", LOGGED, 80),
    ("mfcc", {**LOGGED, "n_mfcc": 40}, 40),
    ("spectrogram", {key: value for key, value in LOGGED.items() if key != "n_mels"}, 201),
]


@pytest.mark.parametrize(("leaf", "options", "num_bins"), ORIGIN)
def test_the_origins_parameters_load_by_their_names(leaf: str, options: dict[str, object], num_bins: int) -> None:
    config = composed(f"feature={leaf}", *(f"feature.{key}={value}" for key, value in options.items()))
    module: Any = build.feature(config.feature)
    assert module.out_dim == num_bins
    assert module(voices(1, 3.0, 16000)).shape == (1, num_bins, 1 + 48000 // int(str(options["hop_length"])))


@pytest.mark.parametrize("leaf", ["mel", "log_mel", "mfcc"])
def test_the_origins_f_max_of_14_khz_is_refused_with_the_reason_and_the_remedy(leaf: str) -> None:
    config = composed(f"feature={leaf}", "feature.n_fft=1024", "feature.f_min=50.0", "feature.f_max=14000.0")
    reason = "feature.f_max=14000 is above 8000 Hz, half of feature.sample_rate=16000"
    with pytest.raises(
        ConfigError, match=f"{reason}, .*write feature.f_max=null .* raise feature.sample_rate to 28000"
    ):
        build.feature(config.feature)
