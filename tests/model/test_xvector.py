"""The x-vector as its leaf composes it, and its size."""

import pytest
import torch

from speaker_id import build


def test_the_leaf_brings_statistics_pooling_and_4_6_million_parameters() -> None:
    config = build.compose("train", ["model=xvector"])
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 80)
    expected = 4_618_644
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert expected == pytest.approx(4.6e6, rel=0.02)
    assert model.out_dim == 512


def test_another_pooling_wins_over_the_leafs() -> None:
    for order in (["model=xvector", "pooling=average"], ["pooling=average", "model=xvector"]):
        assert build.compose("train", order).pooling._target_ == "speaker_id.pooling.AveragePooling"
