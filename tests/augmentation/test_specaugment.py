"""SpecAugment: masks of bounded width, an own draw for every item, nothing in eval()."""

from typing import Any

import pytest
import torch
from torch import Tensor

from speaker_id.augmentation.specaugment import SpecAugment
from speaker_id.errors import ConfigError

OPTIONS: dict[str, Any] = {
    "prob": 1.0, "num_freq_masks": 1, "max_freq_bins": 10, "num_time_masks": 1, "max_time_frames": 25,
    "max_time_ratio": 1.0, "replace_with_zero": True,
}  # fmt: skip


def make(**changes: Any) -> SpecAugment:
    torch.manual_seed(0)
    return SpecAugment(**{**OPTIONS, **changes})


def ones(batch: int = 400, bins: int = 40, frames: int = 100) -> Tensor:
    return torch.ones(batch, bins, frames)


def masked_widths(masked: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) bins and (B,) frames that are masked throughout."""
    return (masked == 0).all(2).sum(1), (masked == 0).all(1).sum(1)


def test_eval_is_the_identity_and_training_leaves_its_input_alone() -> None:
    features = torch.randn(3, 40, 100)
    before = features.clone()
    module = make()
    assert not torch.equal(module(features), before)
    assert torch.equal(features, before)
    assert module.eval()(features) is features


def test_widths_reach_from_nothing_to_the_bound() -> None:
    bins, frames = masked_widths(make()(ones()))
    assert (bins.min(), bins.max()) == (0, 10)
    assert (frames.min(), frames.max()) == (0, 25)


def test_a_mask_is_one_piece_and_may_lie_anywhere() -> None:
    masked = (make(num_freq_masks=0)(ones()) == 0).all(1)  # (B, T)
    edges = torch.diff(masked.int(), dim=1).abs().sum(1)
    assert edges.max() <= 2
    assert masked.any(0).all()


def test_two_masks_may_cover_twice_the_width() -> None:
    bins, _ = masked_widths(make(num_freq_masks=2)(ones()))
    assert 10 < bins.max() <= 20


def test_time_masks_are_held_to_their_part_of_a_short_crop() -> None:
    _, frames = masked_widths(make(max_time_ratio=0.1)(ones(frames=50)))
    assert frames.max() == 5


def test_every_item_has_its_own_masks_and_its_own_coin() -> None:
    masked = make(prob=0.5)(ones())
    untouched = (masked == 1).all(2).all(1).float().mean()
    assert 0.43 < untouched < 0.6
    assert len({tuple(row) for row in (masked == 0).all(1).tolist()}) > 150


def test_the_fill_is_the_mean_of_the_item() -> None:
    features = torch.arange(3.0).reshape(3, 1, 1) + torch.randn(3, 40, 100)
    masked = make(replace_with_zero=False)(features)
    for item in range(3):
        filled = masked[item][masked[item] != features[item]]
        torch.testing.assert_close(filled, features[item].mean().expand_as(filled))
    assert (masked != features).flatten(1).any(1).all()


def test_the_seed_decides() -> None:
    features = torch.randn(4, 40, 100)
    assert torch.equal(make()(features), make()(features))
    module = make()
    assert not torch.equal(module(features), module(features))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prob": -0.1}, "prob"),
        ({"num_freq_masks": -1}, "num_freq_masks"),
        ({"max_time_frames": -1}, "max_time_frames"),
        ({"max_time_ratio": 1.5}, "max_time_ratio"),
    ],
)
def test_a_value_out_of_range_names_its_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_a_mask_as_wide_as_the_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_freq_bins = 10 would mask all 10"):
        make()(ones(bins=10))
