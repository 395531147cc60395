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
        ({"max_freq_ratio": -0.1}, "max_freq_ratio"),
        ({"max_time_warp": -1}, "max_time_warp"),
    ],
)
def test_a_value_out_of_range_names_its_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**changes)


def test_a_mask_as_wide_as_the_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_freq_bins = 10 would mask all 10"):
        make()(ones(bins=10))


def test_the_narrower_of_width_and_ratio_wins() -> None:
    widest = [
        ({"max_freq_bins": 10, "max_freq_ratio": 0.1}, 4, 25),
        ({"max_freq_bins": 3, "max_freq_ratio": 0.1}, 3, 25),
        ({"max_freq_bins": None, "max_freq_ratio": 0.2}, 8, 25),
        ({"max_time_frames": None, "max_time_ratio": 0.07}, 10, 7),
    ]  # of 40 bins and 100 frames
    for changes, most_bins, most_frames in widest:
        bins, frames = masked_widths(make(**changes)(ones()))
        assert (bins.max(), frames.max()) == (most_bins, most_frames)


def test_a_ratio_that_would_mask_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"all 40 feature bins \(max_freq_ratio = 1\.0\)"):
        make(max_freq_bins=None)(ones())


def test_in_place_writes_the_same_numbers_into_its_input() -> None:
    for changes in ({}, {"max_time_warp": 5}, {"replace_with_zero": False}):
        features = torch.randn(6, 40, 100)
        expected = make(**changes)(features)
        result = make(inplace=True, **changes)(features)
        assert result.data_ptr() == features.data_ptr()
        assert torch.equal(features, expected)


def warp(widest: int, features: Tensor, prob: float = 1.0) -> Tensor:
    return make(num_freq_masks=0, num_time_masks=0, max_time_warp=widest, prob=prob)(features)


def test_a_warped_ramp_is_two_straight_pieces_between_fixed_ends() -> None:
    last, widest = 99, 5
    ramp = torch.arange(100.0).expand(300, 2, 100)
    warped = warp(widest, ramp)
    assert torch.equal(warped[:, 0], warped[:, 1])  # all bins together
    assert bool((warped[..., 0] == 0).all() and (warped[..., -1] == last).all())
    slopes = warped[:, 0].diff(dim=1)
    moves = []
    for item in range(300):
        first, second = slopes[item, 0].item(), slopes[item, -1].item()
        if abs(first - second) < 1e-4:
            moves.append(0)
            continue
        # the knee, where both lines meet: first * x = last - second * (last - x)
        knee = (last - second * last) / (first - second)
        moved, frame = round(knee), round(first * knee)
        assert knee == pytest.approx(moved, abs=0.02)
        expected = torch.cat([torch.arange(moved) * frame / moved,
                              last - (last - torch.arange(moved, 100)) * (last - frame) / (last - moved)])  # fmt: skip
        torch.testing.assert_close(warped[item, 0], expected, rtol=0, atol=1e-3)
        moves.append(moved - frame)
    assert set(moves) == set(range(-widest, widest + 1))


def test_a_short_crop_is_warped_less_and_a_tiny_one_not_at_all() -> None:
    for frames in range(1, 12):
        ramp = torch.arange(float(frames)).expand(100, 1, frames)
        warped = warp(5, ramp)
        assert bool((warped.diff(dim=2) > 0).all())
        assert torch.equal(warped, ramp) == (frames < 5)


def test_items_that_are_not_chosen_are_not_warped_by_a_hair() -> None:
    features = torch.randn(400, 4, 97)
    same = (warp(8, features, prob=0.5) == features).flatten(1).all(1).float().mean()
    assert 0.45 < same < 0.65  # a move by 0 frames is one in seventeen


def test_the_fill_after_a_warp_is_the_mean_of_what_is_masked() -> None:
    ramp = torch.arange(50.0).expand(20, 40, 50)
    torch.manual_seed(1)
    module = make(max_time_warp=3, replace_with_zero=False, num_time_masks=0, max_freq_bins=30)
    masked = module(ramp)
    for item in masked:
        flat = item[(item == item[:, :1]).all(1)]  # masked rows do not rise
        kept = item[(item != item[:, :1]).any(1)]
        if len(flat):
            torch.testing.assert_close(flat, kept[0].mean().expand_as(flat), rtol=1e-4, atol=1e-4)
