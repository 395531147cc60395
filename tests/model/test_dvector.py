"""The d-vector's LSTM against torch's, its windows worked out by hand, and its size."""

import pytest
import torch
from torch import nn

from leaves import composed
from speaker_id import build
from speaker_id.errors import ConfigError
from speaker_id.model.dvector import DVector


def small(window: int = 20, shift: int = 10) -> DVector:
    return DVector(6, hidden=5, num_layers=3, window=window, shift=shift).eval()


def oracle(network: DVector) -> nn.LSTM:
    lstm = nn.LSTM(6, 5, num_layers=3, batch_first=True)
    lstm.load_state_dict(network.lstm.state_dict())
    return lstm


def last_of(network: DVector, features: torch.Tensor) -> torch.Tensor:
    """(B, F, T) -> (B, C), by torch's own LSTM."""
    hidden: torch.Tensor = oracle(network)(features.transpose(1, 2))[1][0][-1]
    return hidden


def frames(num_frames: int) -> torch.Tensor:
    return torch.randn(2, 6, num_frames, generator=torch.Generator().manual_seed(0))


def test_the_leaf_has_256_dims_and_three_layers_of_256() -> None:
    config = composed("model=dvector")
    with torch.device("meta"):
        model = build.embedding_model(config.model, config.pooling, 40)
    # a layer: 4 gates * 256 * (inputs + 256 + 2 biases); then 256 * 256 + 256 of the projection
    layers = 4 * 256 * (40 + 256 + 2) + 2 * 4 * 256 * (256 + 256 + 2)
    assert sum(parameter.numel() for parameter in model.parameters()) == layers + 65_792 == 1_423_616
    assert model.out_dim == 256


@pytest.mark.parametrize("num_frames", [1, 7, 20])
def test_a_recording_of_one_window_becomes_the_lstms_last_hidden_state(num_frames: int) -> None:
    network = small()
    features = frames(num_frames)
    torch.testing.assert_close(network(features), last_of(network, features).unsqueeze(-1))


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [
        (21, [0, 1]),
        (30, [0, 10]),
        (31, [0, 5, 11]),
        (40, [0, 10, 20]),
        (55, [0, 8, 17, 26, 35]),
    ],
)
def test_a_longer_recording_becomes_evenly_spaced_windows_up_to_its_last_frame(
    num_frames: int, starts: list[int]
) -> None:
    network = small()
    features = frames(num_frames)
    expected = [last_of(network, features[..., start : start + 20]) for start in starts]
    torch.testing.assert_close(network(features), torch.stack(expected, dim=-1))


def test_windows_that_would_leave_frames_out_are_refused() -> None:
    for shift in (0, 21):
        with pytest.raises(ConfigError, match=rf"shift={shift} must lie in 1 .. window=20"):
            small(shift=shift)


def test_with_average_pooling_the_embedding_is_a_relu_of_the_mean_window() -> None:
    config = composed("model=dvector", "model.backbone.hidden=5", "model.projection.dim=4")
    model = build.embedding_model(config.model, config.pooling, 6).eval()
    linear = model.projection.layers[0]
    features = frames(400)
    states = torch.stack([last_of(model.backbone, features[..., start : start + 160]) for start in (0, 80, 160, 240)])
    torch.testing.assert_close(model(features), linear(states.mean(dim=0)).relu())
