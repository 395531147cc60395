"""Poolings: numbers worked by hand, and what must hold for any frames."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from speaker_id.pooling import AttentiveStatisticsPooling, AveragePooling, StatisticsPooling, mean_and_deviation

POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": lambda: AveragePooling(3),
    "statistics": lambda: StatisticsPooling(3),
    "attentive": lambda: AttentiveStatisticsPooling(3, bottleneck=4, global_context=False),
    "attentive with context": lambda: AttentiveStatisticsPooling(3, bottleneck=4, global_context=True),
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


@pytest.mark.parametrize("name", POOLINGS)
@given(seed=st.integers(0, 1000), num_frames=st.integers(1, 40))
def test_the_order_of_the_frames_does_not_matter(name: str, seed: int, num_frames: int) -> None:
    torch.manual_seed(seed)
    pooling = POOLINGS[name]()
    inputs = frames(2, 3, num_frames, seed=seed)
    mixed = inputs[..., torch.randperm(num_frames)]
    torch.testing.assert_close(pooling(mixed), pooling(inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("value", [0.0, 1.0, -300.0])
def test_constant_frames_have_a_finite_gradient(name: str, value: float) -> None:
    pooling = POOLINGS[name]()
    inputs = torch.full((2, 3, 10), value, requires_grad=True)
    pooled = pooling(inputs)
    pooled.square().sum().backward()
    assert pooled.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in pooling.parameters())


@pytest.mark.parametrize("name", POOLINGS)
def test_one_frame_is_pooled_to_itself(name: str) -> None:
    inputs = frames(2, 3, 1)
    pooled = POOLINGS[name]()(inputs)
    torch.testing.assert_close(pooled[:, :3], inputs[..., 0])
    torch.testing.assert_close(pooled[:, 3:], torch.full_like(pooled[:, 3:], 1e-4))


@pytest.mark.parametrize("name", POOLINGS)
def test_the_size_it_announces_is_the_size_it_gives(name: str) -> None:
    pooling = POOLINGS[name]()
    assert pooling(frames(2, 3, 7)).shape == (2, pooling.out_dim)


# Attention weights are bfloat16 themselves; the others only sum.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("average", 1e-3), ("statistics", 1e-3), ("attentive", 1e-2), ("attentive with context", 1e-2)],
)
def test_half_precision_frames_are_summed_in_full(name: str, tolerance: float) -> None:
    """1000 frames around 300: a bfloat16 sum would stop growing at 512."""
    inputs = (300 + 8 * frames(2, 3, 1000)).bfloat16()
    pooling = POOLINGS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        pooled = pooling(inputs)
    assert pooled.dtype == torch.float32
    expected = pooling(inputs.float())[:, :3]
    torch.testing.assert_close(pooled[:, :3], expected, atol=1e-5, rtol=tolerance)


@given(seed=st.integers(0, 1000), shift=st.floats(-50, 50), factor=st.floats(0.1, 10))
def test_statistics_follow_a_shift_and_a_factor(seed: int, shift: float, factor: float) -> None:
    mean, deviation = mean_and_deviation(frames(1, 2, 25, seed=seed))
    moved_mean, moved_deviation = mean_and_deviation(factor * frames(1, 2, 25, seed=seed) + shift)
    torch.testing.assert_close(moved_mean, factor * mean + shift, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(moved_deviation, factor * deviation, atol=1e-3, rtol=1e-3)
