"""Poolings: numbers worked by hand, and what must hold for any frames."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from leaves import composed, leaves
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.pooling import (
    AttentiveStatisticsPooling,
    AveragePooling,
    MaxPooling,
    MultiHeadAttentivePooling,
    SelfAttentivePooling,
    StatisticsPooling,
    mean_and_deviation,
)

POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": lambda: AveragePooling(6),
    "max": lambda: MaxPooling(6),
    "statistics": lambda: StatisticsPooling(6),
    "self-attentive": lambda: SelfAttentivePooling(6, bottleneck=4),
    "attentive": lambda: AttentiveStatisticsPooling(6, bottleneck=4, global_context=False),
    "attentive with context": lambda: AttentiveStatisticsPooling(6, bottleneck=4, global_context=True),
    "multi-head": lambda: MultiHeadAttentivePooling(6, heads=2, bottleneck=4),
}


def frames(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_average_is_the_mean_over_time() -> None:
    assert torch.equal(AveragePooling(2)(torch.tensor([[[1.0, 3.0], [4.0, 4.0]]])), torch.tensor([[2.0, 4.0]]))


def test_statistics_are_means_then_deviations_over_all_frames() -> None:
    # 1 2 3 6: mean 3, squares 4 1 0 9, variance 14 / 4 (not 14 / 3)
    pooled = StatisticsPooling(2)(torch.tensor([[[1.0, 2.0, 3.0, 6.0], [-1.0, 1.0, -1.0, 1.0]]]))
    torch.testing.assert_close(pooled, torch.tensor([[3.0, 0.0, 3.5**0.5, 1.0]]))


def test_attention_weighs_frames_by_its_softmax() -> None:
    # Weights 1/4 and 3/4 on 0 and 4: mean 3, variance 9 / 4 + 3 / 4 = 3
    attention = torch.tensor([[[0.0, 3.0]]]).log()
    attention[..., 0] = 0.0
    mean, deviation = mean_and_deviation(torch.tensor([[[0.0, 4.0]]]), attention)
    torch.testing.assert_close((mean, deviation), (torch.tensor([[3.0]]), torch.tensor([[3.0**0.5]])))


def test_attention_on_one_frame_returns_it() -> None:
    attention = torch.tensor([[[0.0, 200.0, 0.0], [300.0, 0.0, 0.0]]])
    mean, deviation = mean_and_deviation(torch.tensor([[[1.0, 2.0, 9.0], [5.0, 7.0, 8.0]]]), attention)
    torch.testing.assert_close(mean, torch.tensor([[2.0, 5.0]]))
    torch.testing.assert_close(deviation, torch.full((1, 2), 1e-4))  # the root of the floor


@pytest.mark.parametrize("global_context", [False, True])
def test_an_attention_without_weights_is_plain_statistics(global_context: bool) -> None:
    pooling = AttentiveStatisticsPooling(5, bottleneck=4, global_context=global_context)
    nn.init.zeros_(pooling.attention.weight)
    inputs = frames(2, 5, 30)
    torch.testing.assert_close(pooling(inputs), StatisticsPooling(5)(inputs))


def test_the_context_multiplied_once_equals_a_convolution_over_the_concatenation() -> None:
    pooling = AttentiveStatisticsPooling(5, bottleneck=4, global_context=True)
    assert pooling.context_layer is not None
    whole = nn.Conv1d(15, 4, kernel_size=1)
    with torch.no_grad():
        whole.weight.copy_(torch.cat([pooling.frame_layer.weight, pooling.context_layer.weight.unsqueeze(-1)], dim=1))
        whole.bias.copy_(pooling.frame_layer.bias)
    inputs = frames(2, 5, 30)
    deviation, mean = torch.std_mean(inputs, dim=-1, correction=0, keepdim=True)
    hidden = whole(torch.cat([inputs, mean.expand_as(inputs), deviation.expand_as(inputs)], dim=1))
    weights = torch.softmax(pooling.attention(torch.tanh(hidden)), dim=-1)
    expected_mean = (weights * inputs).sum(-1)
    expected_deviation = ((weights * inputs.square()).sum(-1) - expected_mean.square()).sqrt()
    torch.testing.assert_close(
        pooling(inputs), torch.cat([expected_mean, expected_deviation], dim=-1), atol=1e-5, rtol=1e-5
    )


def test_only_global_context_sees_the_level_of_the_whole_recording() -> None:
    """With zero frame weights, frames cannot tell themselves apart: the context only adds a constant to each."""
    for global_context, extra in ((False, 0), (True, 2 * 3 * 4)):
        pooling = AttentiveStatisticsPooling(3, bottleneck=4, global_context=global_context)
        assert sum(p.numel() for p in pooling.parameters()) == (3 * 4 + 4) + (4 * 3 + 3) + extra
        nn.init.zeros_(pooling.frame_layer.weight)
        torch.testing.assert_close(pooling(frames(1, 3, 9)), StatisticsPooling(3)(frames(1, 3, 9)))


def test_max_is_the_largest_value_over_time() -> None:
    pooled = MaxPooling(2)(torch.tensor([[[1.0, 3.0, 2.0], [-4.0, -9.0, -5.0]]]))
    assert torch.equal(pooled, torch.tensor([[3.0, -4.0]]))


def attend_to_first_channel(pooling: SelfAttentivePooling | MultiHeadAttentivePooling, logits: list[float]) -> None:
    """One hidden unit a head that sees its first channel x alone; the head's attention is logit * tanh(x)."""
    with torch.no_grad():
        pooling.frame_layer.weight.zero_()
        pooling.frame_layer.weight[:, 0] = 1.0
        assert pooling.frame_layer.bias is not None
        pooling.frame_layer.bias.zero_()
        pooling.attention.weight.copy_(torch.tensor(logits).reshape(pooling.attention.weight.shape))


def test_self_attention_gives_all_channels_the_weights_of_one_scalar() -> None:
    # The first channel says which frame: tanh(0) = 0 and tanh(1) = .7616, so ln 3 / .7616 times it weighs 1/4 and 3/4.
    pooling = SelfAttentivePooling(2, bottleneck=1)
    attend_to_first_channel(pooling, [math.log(3) / math.tanh(1)])
    pooled = pooling(torch.tensor([[[0.0, 1.0], [8.0, 4.0]]]))
    torch.testing.assert_close(pooled, torch.tensor([[0.75, 5.0]]))  # 0/4 + 3/4, 8/4 + 12/4


def test_each_head_pools_its_own_channels_by_its_own_attention() -> None:
    # As above for channels 0 and 1; the second head, of channels 2 and 3, turns its weights round to 3/4 and 1/4.
    pooling = MultiHeadAttentivePooling(4, heads=2, bottleneck=1)
    attend_to_first_channel(pooling, [math.log(3) / math.tanh(1), -math.log(3) / math.tanh(1)])
    pooled = pooling(torch.tensor([[[0.0, 1.0], [8.0, 4.0], [0.0, 1.0], [8.0, 4.0]]]))
    means = [0.75, 5.0, 0.25, 7.0]
    deviations = [
        (3 / 16) ** 0.5,
        3**0.5,
        (3 / 16) ** 0.5,
        3**0.5,
    ]  # weights 1/4 and 3/4 on two values d apart: d² 3/16
    torch.testing.assert_close(pooled, torch.tensor([[*means, *deviations]]))


def test_one_head_is_self_attention_with_deviations() -> None:
    single, multi = SelfAttentivePooling(6, bottleneck=4), MultiHeadAttentivePooling(6, heads=1, bottleneck=4)
    multi.load_state_dict(single.state_dict())
    torch.testing.assert_close(multi(frames(2, 6, 30))[:, :6], single(frames(2, 6, 30)))


def test_a_head_does_not_see_the_channels_of_another() -> None:
    pooling = MultiHeadAttentivePooling(6, heads=2, bottleneck=4)
    inputs = frames(1, 6, 30)
    changed = inputs.clone()
    changed[:, 3:] += frames(1, 3, 30, seed=1)
    before, after = pooling(inputs)[0], pooling(changed)[0]
    same = torch.isclose(before, after)
    assert same.tolist() == [True, True, True, False, False, False] * 2


@pytest.mark.parametrize(
    "make",
    [lambda: SelfAttentivePooling(6, bottleneck=4), lambda: MultiHeadAttentivePooling(6, heads=3, bottleneck=4)],
)
def test_a_scalar_attention_without_weights_weighs_frames_alike(make: Callable[[], nn.Module]) -> None:
    pooling = make()
    nn.init.zeros_(pooling.get_parameter("attention.weight"))
    inputs = frames(2, 6, 30)
    torch.testing.assert_close(pooling(inputs), StatisticsPooling(6)(inputs)[:, : pooling.out_dim])


@pytest.mark.parametrize("heads", [0, 4, 12])
def test_heads_that_do_not_divide_the_channels_are_refused(heads: int) -> None:
    with pytest.raises(ConfigError, match=f"pooling.heads={heads} must divide the 6 channels"):
        MultiHeadAttentivePooling(6, heads=heads, bottleneck=4)


@pytest.mark.parametrize("leaf", leaves("pooling"))
def test_every_leaf_is_a_pooling_under_test_here(leaf: str) -> None:
    pooling = build.instantiate(composed("model=ecapa", f"pooling={leaf}").pooling, 8)
    assert type(pooling) in {type(make()) for make in POOLINGS.values()}
    assert pooling(frames(2, 8, 5)).shape == (2, pooling.out_dim)


@pytest.mark.parametrize("global_context", [False, True])
def test_global_context_is_a_choice_on_the_command_line(global_context: bool) -> None:
    config = composed("pooling=attentive_statistics", f"pooling.global_context={global_context}")
    assert (build.instantiate(config.pooling, 8).context_layer is not None) == global_context


@pytest.mark.parametrize("name", POOLINGS)
@given(seed=st.integers(0, 1000), num_frames=st.integers(1, 40))
def test_the_order_of_the_frames_does_not_matter(name: str, seed: int, num_frames: int) -> None:
    torch.manual_seed(seed)
    pooling = POOLINGS[name]()
    inputs = frames(2, 6, num_frames, seed=seed)
    mixed = inputs[..., torch.randperm(num_frames)]
    torch.testing.assert_close(pooling(mixed), pooling(inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("value", [0.0, 1.0, -300.0])
def test_constant_frames_have_a_finite_gradient(name: str, value: float) -> None:
    pooling = POOLINGS[name]()
    inputs = torch.full((2, 6, 10), value, requires_grad=True)
    pooled = pooling(inputs)
    pooled.square().sum().backward()
    assert pooled.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in pooling.parameters())


@pytest.mark.parametrize("name", POOLINGS)
def test_one_frame_is_pooled_to_itself(name: str) -> None:
    inputs = frames(2, 6, 1)
    pooled = POOLINGS[name]()(inputs)
    torch.testing.assert_close(pooled[:, :6], inputs[..., 0])
    torch.testing.assert_close(pooled[:, 6:], torch.full_like(pooled[:, 6:], 1e-4))


@pytest.mark.parametrize("name", POOLINGS)
def test_the_size_it_announces_is_the_size_it_gives(name: str) -> None:
    pooling = POOLINGS[name]()
    assert pooling(frames(2, 6, 7)).shape == (2, pooling.out_dim)


# Attention weights are bfloat16 themselves; the others only sum, and a maximum does not even that.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("average", 1e-3),
        ("max", 0),
        ("statistics", 1e-3),
        ("self-attentive", 1e-2),
        ("attentive", 1e-2),
        ("attentive with context", 1e-2),
        ("multi-head", 1e-2),
    ],
)
def test_half_precision_frames_are_summed_in_full(name: str, tolerance: float) -> None:
    """1000 frames around 300: a bfloat16 sum would stop growing at 512."""
    inputs = (300 + 8 * frames(2, 6, 1000)).bfloat16()
    pooling = POOLINGS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pooling(inputs)
    assert pooled.dtype == torch.float32
    expected = pooling(inputs.float())[:, :6]
    torch.testing.assert_close(pooled[:, :6], expected, atol=1e-5, rtol=tolerance)


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50), factor=st.floats(0.1, 10))
def test_statistics_follow_a_shift_and_a_factor(seed: int, shift: float, factor: float) -> None:
    mean, deviation = mean_and_deviation(frames(1, 2, 25, seed=seed))
    moved_mean, moved_deviation = mean_and_deviation(factor * frames(1, 2, 25, seed=seed) + shift)
    torch.testing.assert_close(moved_mean, factor * mean + shift, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(moved_deviation, factor * deviation, atol=1e-3, rtol=1e-3)
