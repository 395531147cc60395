"""SpecSub: stretches are copies of the past, whole frames of the same item."""

import pytest
import torch
from torch import Tensor

from speaker_id.augmentation.feature_chain import FeatureChain
from speaker_id.augmentation.specsub import SpecSub
from speaker_id.errors import ConfigError


def frame_numbers(batch: int = 300, bins: int = 3, frames: int = 100) -> Tensor:
    """Every value tells its item and its frame: 1000 * item + frame."""
    return (1000.0 * torch.arange(batch)[:, None, None] + torch.arange(frames)).expand(batch, bins, frames).clone()


def sources(num_stretches: int = 1, max_frames: int = 10, prob: float = 1.0) -> Tensor:
    """(B, T): the frame that each frame was taken from."""
    torch.manual_seed(0)
    out = SpecSub(prob=prob, num_stretches=num_stretches, max_frames=max_frames)(frame_numbers())
    assert torch.equal(out[:, 0], out[:, 2])  # all bins move together
    assert torch.equal((out[:, 0] / 1000).floor(), frame_numbers()[:, 0].div(1000).floor())  # no other item's
    return (out[:, 0] % 1000).long()


def test_frames_come_from_the_past_alone() -> None:
    back = torch.arange(100) - sources(num_stretches=3)
    assert back.min() == 0
    assert back.max() > 80


def test_one_substitution_is_one_stretch_moved_as_a_whole() -> None:
    back = torch.arange(100) - sources()
    for row in back:
        moved = row.nonzero().flatten()
        if len(moved):
            assert moved[-1] - moved[0] == len(moved) - 1 <= 9
            assert len(set(row[moved].tolist())) == 1
            assert row[moved[0]] <= moved[0]
    lengths = (back > 0).sum(1)
    assert set(lengths.tolist()) == set(range(11))  # 0: copied onto itself


def test_two_substitutions_are_two_stretches_copied_from_the_input() -> None:
    back = torch.arange(100) - sources(num_stretches=2)
    assert 10 < (back > 0).sum(1).max() <= 20
    kinds = [len(set(row[row > 0].tolist())) for row in back]
    assert max(kinds) == 2  # a copy of a copy would show a third distance


def test_every_item_has_its_own_coin() -> None:
    changed = (sources(num_stretches=4, prob=0.5) != torch.arange(100)).any(1).float().mean()
    assert 0.4 < changed < 0.6


def test_eval_is_the_identity_and_training_leaves_its_input_alone() -> None:
    features = frame_numbers(4)
    module = SpecSub(prob=1, num_stretches=3, max_frames=10)
    assert not torch.equal(module(features), features)
    assert torch.equal(features, frame_numbers(4))
    assert module.eval()(features) is features


def test_a_single_frame_stays() -> None:
    features = torch.randn(2, 5, 1)
    assert torch.equal(SpecSub(prob=1, num_stretches=2, max_frames=10)(features), features)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_frames must be at least 1"):
        SpecSub(prob=1, num_stretches=1, max_frames=0)


def test_a_feature_chain_applies_its_steps_in_order_and_hands_eval_on() -> None:
    class Double(torch.nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return 2 * features if self.training else features

    class PlusThree(torch.nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features + 3 if self.training else features

    chain = FeatureChain(double=Double(), nothing=None, add=PlusThree())
    assert chain(torch.ones(1, 1, 2)).tolist() == [[[5, 5]]]
    assert chain.eval()(torch.ones(1, 1, 2)).tolist() == [[[1, 1]]]
