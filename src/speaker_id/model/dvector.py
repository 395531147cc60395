"""The LSTM of the generalised end-to-end (GE2E) d-vector."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from speaker_id.errors import ConfigError


class DVector(nn.Module):
    """An LSTM's last output over sliding windows: (B, F, T) -> (B, C, W). Wan et al. 2018, arXiv 1710.10467.

    An LSTM knows only lengths like those it was trained on: section 2.2 slides a window of `window` frames over a long
    recording and averages (here the pooling does). The windows cover every frame, evenly, `shift` frames apart or a
    little less; a recording of `window` frames or fewer is one window.
    """

    TINY: ClassVar = {"hidden": 24, "window": 20, "shift": 10}
    min_frames = 1

    def __init__(self, in_dim: int, *, hidden: int, num_layers: int, window: int, shift: int) -> None:
        super().__init__()
        if not 1 <= shift <= window:
            raise ConfigError(f"model.backbone.shift={shift} must lie in 1 .. window={window}, or frames were left out")
        self.out_dim = hidden
        self.window = window
        self.shift = shift
        self.lstm = Lstm(in_dim, hidden, num_layers=num_layers)

    def forward(self, features: Tensor) -> Tensor:
        windows = self._windows(features)  # (B, F, W, frames of a window)
        batch, in_dim, num_windows, length = windows.shape
        sequences = windows.permute(0, 2, 3, 1).reshape(batch * num_windows, length, in_dim)
        last: Tensor = self.lstm(sequences)[:, -1]
        return last.view(batch, num_windows, self.out_dim).transpose(1, 2)

    def _windows(self, features: Tensor) -> Tensor:
        """(B, F, T) -> (B, F, W, frames)"""
        slack = features.shape[-1] - self.window  # frames that the first window does not see
        if slack <= 0:
            return features.unsqueeze(2)
        num = 1 + -(-slack // self.shift)
        starts = torch.arange(num, device=features.device) * slack // (num - 1)
        return features[..., starts.unsqueeze(1) + torch.arange(self.window, device=features.device)]


# oneDNN has no bfloat16 LSTM for a CPU without AVX-512, and torch asks it for one under autocast.
FLOAT32_ON_CPU = torch.backends.cpu.get_cpu_capability() != "AVX512"


class Lstm(nn.RNNBase):
    """`nn.LSTM` that returns its outputs alone, (B, T, F) -> (B, T, C), and that torch.compile can trace.

    The compiler refuses nn.LSTM by its class; the function behind it passes. The first weights keep the spread of
    what passes through three layers, a fiftieth of which torch's own would leave: each gate's are Glorot's uniform and,
    for the recurrence, orthogonal; the forget gates start open (bias 1).
    """

    def __init__(self, in_dim: int, hidden: int, *, num_layers: int) -> None:
        super().__init__("LSTM", in_dim, hidden, num_layers=num_layers, batch_first=True)

    def reset_parameters(self) -> None:
        for name, parameter in self.named_parameters():
            for index, gate in enumerate(parameter.chunk(4)):  # input, forget, cell, output
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(gate)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate)
                else:  # the two biases add up
                    nn.init.constant_(gate, 1.0 if index == 1 and name.startswith("bias_ih") else 0.0)

    def forward(self, sequences: Tensor) -> Tensor:
        if FLOAT32_ON_CPU and sequences.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return self._outputs(sequences.float())
        return self._outputs(sequences)

    def _outputs(self, sequences: Tensor) -> Tensor:
        zeros = sequences.new_zeros(self.num_layers, sequences.shape[0], self.hidden_size)
        weights: list[Tensor] = [weight for layer in self.all_weights for weight in layer]
        outputs: Tensor = torch.lstm(
            sequences, (zeros, zeros), weights, True, self.num_layers, 0.0, self.training, False, True
        )[0]
        return outputs
