"""Where somebody speaks, by the network of Silero VAD (https://github.com/snakers4/silero-vad, MIT), extra `vad`."""

import warnings
from functools import cache
from importlib.metadata import version
from importlib.resources import as_file, files
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id import audio
from speaker_id.contracts import FloatArray, Stretches
from speaker_id.errors import ConfigError
from speaker_id.vad.stretches import NONE

SAMPLE_RATE = 16000  # other recordings are resampled
WINDOW = 512  # samples: one probability each
_CONTEXT = 64  # samples that a window sees of the one before it
_MIRRORED = 64  # samples added at a window's end
_HOP = 128  # of its spectra: four a window
_BINS = 129
_STRIDES = (1, 2, 2, 1)  # of the four convolutions
_LAST = "decoder.decoder.2"
_LSTM = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_BLOCK = 4096  # windows at once, 131 s: memory does not grow with the recording


class _Network(NamedTuple):
    weights: dict[str, Tensor]
    lstm: nn.LSTM


class Silero:
    """The SpeechDetector contract: the network, hysteresis and padding of the package `silero-vad`.

    Its weights in plain torch, all windows of a recording at once but for the LSTM: the package's own loop over 32 ms
    windows takes ten times as long. Raises ConfigError without the package.
    """

    def __init__(
        self, *, threshold: float, min_speech_seconds: float, min_pause_seconds: float, pad_seconds: float
    ) -> None:
        if not 0 < threshold < 1:
            raise ConfigError(f"vad.threshold={threshold}: a probability between 0 and 1, like 0.5")
        if not min(min_speech_seconds, min_pause_seconds, pad_seconds) >= 0:
            raise ConfigError(f"vad: {min_speech_seconds=}, {min_pause_seconds=}, {pad_seconds=} must not be negative")
        self.threshold = threshold
        self.min_speech_seconds = min_speech_seconds
        self.min_pause_seconds = min_pause_seconds
        self.pad_seconds = pad_seconds
        _package()  # whoever lacks it is told now
        _network()  # here, where there is one thread: listening may be done by many

    @property
    def identity(self) -> str:
        return (
            f"silero {version('silero-vad')} threshold {self.threshold:g} speech {self.min_speech_seconds:g} "
            f"pause {self.min_pause_seconds:g} pad {self.pad_seconds:g}"
        )

    def __call__(self, waveform: FloatArray, sample_rate: int) -> Stretches:
        """(S,) -> where somebody speaks (n, 2)."""
        at_16k = waveform if sample_rate == SAMPLE_RATE else audio.resample(waveform, sample_rate, SAMPLE_RATE)
        if not len(at_16k):
            return NONE
        found = _package().get_speech_timestamps_from_probs(
            speech_probabilities(at_16k).tolist(),
            sampling_rate=SAMPLE_RATE,
            threshold=self.threshold,
            min_speech_duration_ms=1000 * self.min_speech_seconds,
            min_silence_duration_ms=1000 * self.min_pause_seconds,
            speech_pad_ms=1000 * self.pad_seconds,
            audio_length_samples=len(at_16k),
        )
        return _stretches(found, sample_rate, len(waveform))


@torch.inference_mode()
def speech_probabilities(waveform: FloatArray) -> FloatArray:
    """(S,) at 16 kHz -> how likely each window of 32 ms is speech (T,); the last one is filled up with zeros."""
    network = _network()
    whole = functional.pad(torch.from_numpy(waveform), (_CONTEXT, -len(waveform) % WINDOW))
    windows = whole.unfold(0, _CONTEXT + WINDOW, WINDOW)  # (T, 576)
    state: tuple[Tensor, Tensor] | None = None
    found = [np.zeros(0, np.float32)]
    for block in torch.split(windows, _BLOCK):
        hidden, state = network.lstm(_encoded(block, network.weights), state)
        weight, bias = (network.weights[f"{_LAST}.{name}"] for name in ("weight", "bias"))
        logits = functional.linear(hidden.relu(), weight[..., 0], bias)
        found.append(logits[:, 0].sigmoid().numpy())
    return np.concatenate(found)


def _encoded(windows: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """(T, 576) -> (T, 128)."""
    frames = functional.pad(windows[:, None], (0, _MIRRORED), mode="reflect")
    spectra = functional.conv1d(frames, weights["stft.forward_basis_buffer"], stride=_HOP)
    maps = (spectra[:, :_BINS].square() + spectra[:, _BINS:].square()).sqrt()  # (T, 129, 4)
    for number, stride in enumerate(_STRIDES):
        weight, bias = (weights[f"encoder.{number}.reparam_conv.{name}"] for name in ("weight", "bias"))
        maps = functional.conv1d(maps, weight, bias, stride=stride, padding=1).relu()
    return maps[..., 0]


def _stretches(found: list[dict[str, Any]], sample_rate: int, num_samples: int) -> Stretches:
    """What the package gives, at 16 kHz, as ours at the recording's own rate."""
    if not found:
        return NONE
    edges = np.array([(each["start"], each["end"]) for each in found], np.float64) * (sample_rate / SAMPLE_RATE)
    edges = np.minimum(edges.round().astype(np.int64), num_samples)
    apart = np.append(True, edges[1:, 0] > edges[:-1, 1])  # the package lets padded neighbours touch
    first = np.flatnonzero(apart)
    return np.stack([edges[first, 0], np.maximum.reduceat(edges[:, 1], first)], axis=1)


@cache
def _network() -> _Network:
    _package()
    with warnings.catch_warnings(), as_file(files("silero_vad.data") / "silero_vad.jit") as file:
        # torch is giving torch.jit up. The package has safetensors too, but of other weights than those it uses itself.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.load` is deprecated")
        saved: dict[str, Tensor] = torch.jit.load(file, "cpu").state_dict()  # type: ignore[no-untyped-call]
    weights = {name.removeprefix("_model."): tensor for name, tensor in saved.items() if name.startswith("_model.")}
    lstm = nn.LSTM(weights["decoder.rnn.weight_ih"].shape[1], weights["decoder.rnn.weight_hh"].shape[1]).eval()
    lstm.load_state_dict({f"{name}_l0": weights[f"decoder.rnn.{name}"] for name in _LSTM})
    return _Network(weights, lstm)


@cache
def _package() -> ModuleType:
    threads = torch.get_num_threads()
    try:
        import silero_vad
    except ImportError as error:
        raise ConfigError("Silero VAD is not installed: pip install 'speaker-id[vad]', or take vad=energy") from error
    finally:
        torch.set_num_threads(threads)  # the package sets it to one, for everybody
    module: ModuleType = silero_vad
    return module
