"""Self-supervised speech encoders as features: wav2vec 2.0, HuBERT, WavLM and w2v-BERT 2.0."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.fbank import Fbank
from speaker_id.feature.normalise import check_kind, normalise
from speaker_id.feature.pretrained_encoder import (
    build_encoder,
    complete_options,
    find_model,
    read_options,
    wants_normalised_waveform,
)

SAMPLE_RATE = 16000  # of all these encoders


class SslEncoder(nn.Module):
    """Hidden states of a speech encoder, summed by learned weights: (B, S) -> (B, F, T), T about S / 320.

    The weights are a softmax over `layers` (Yang et al. 2021, SUPERB; Chen et al. 2022, WavLM). Layer 0 is what enters
    the first transformer layer, the last is the encoder's output; those above the highest chosen are not built.

    Frozen, the encoder stays in eval mode and the layer weights alone learn. With `fine_tune` everything learns, but
    for the convolutions over the waveform if `freeze_cnn`. `normalise_waveform=None` is as the model's
    preprocessor_config.json says; w2v-BERT reads log mel features of its own and takes no heed of it.

    `resolved` are the options by which a checkpoint rebuilds the module from nothing but itself: given `encoder`,
    `name` is not looked up, and the weights are random until they are loaded. Raises ConfigError for a model that
    cannot be had, TooShort for less than one frame.
    """

    RESOLVED: ClassVar = ("encoder", "normalise_waveform")  # what a checkpoint must say, lest loading it asks the hub

    def __init__(
        self,
        *,
        name: str,
        layers: str | Sequence[int],
        fine_tune: bool,
        freeze_cnn: bool,
        normalise: str,
        normalise_waveform: bool | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        folder = None
        if encoder is None:
            folder = find_model(name)
            options = read_options(folder)
        else:
            options = complete_options(encoder, source="feature.encoder")
        reads_waveforms = options["model_type"] != "wav2vec2-bert"
        if normalise_waveform is None:
            normalise_waveform = reads_waveforms and folder is not None and wants_normalised_waveform(folder)
        self.sample_rate = SAMPLE_RATE
        self.out_dim = int(options["hidden_size"])
        self.normalise = check_kind(normalise)
        self.layers = chosen_layers(layers, options["num_hidden_layers"])
        self.resolved = {"encoder": options, "normalise_waveform": normalise_waveform}
        self.input = WaveformInput(options, normalise=normalise_waveform) if reads_waveforms else LogMelInput(options)
        self.encoder: Any = build_encoder(options, depth=max(self.layers), folder=folder).requires_grad_(fine_tune)
        self.layer_weights = nn.Parameter(torch.zeros(len(self.layers)))
        self.fine_tune = fine_tune
        self.freeze_cnn = freeze_cnn and reads_waveforms
        if self.freeze_cnn:
            self.encoder.feature_extractor.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder.train(mode and self.fine_tune)
        if self.freeze_cnn:  # in training it would ask for the waveform's gradient
            self.encoder.feature_extractor.eval()
        return self

    def forward(self, waveforms: Tensor) -> Tensor:
        if waveforms.shape[-1] < self.input.min_samples:
            raise TooShort(
                f"{waveforms.shape[-1]} samples are less than one frame of {self.input.min_samples}; record more"
            )
        with torch.set_grad_enabled(self.fine_tune and torch.is_grad_enabled()):
            output = self.encoder(self.input(waveforms.float()), output_hidden_states=True)
        # Releases of the library differ in whether the last of the hidden states is normalised; the output always is.
        states = (*output.hidden_states[:-1], output.last_hidden_state)
        weights = self.layer_weights.softmax(dim=0)
        frames = sum(weight * states[layer].float() for weight, layer in zip(weights, self.layers, strict=True))
        return normalise(frames.transpose(1, 2), self.normalise)


class WaveformInput(nn.Module):
    """What the convolutional encoders read: the waveform, or with zero mean and unit variance: (B, S) -> (B, S)."""

    def __init__(self, options: Mapping[str, Any], *, normalise: bool) -> None:
        super().__init__()
        self.normalise = normalise
        self.min_samples = 1
        for kernel, stride in zip(reversed(options["conv_kernel"]), reversed(options["conv_stride"]), strict=True):
            self.min_samples = (self.min_samples - 1) * stride + kernel

    def forward(self, waveforms: Tensor) -> Tensor:
        return standardised(waveforms, correction=0) if self.normalise else waveforms


class LogMelInput(nn.Module):
    """What w2v-BERT 2.0 reads: (B, S) -> (B, T, 160), T = (1 + (S - 400) // 160) // 2.

    Kaldi's log mel filter bank with each bin standardised over the recording, two frames in one.
    """

    NUM_BINS = 80

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        if options["feature_projection_input_dim"] != 2 * self.NUM_BINS:
            raise ConfigError(
                f"feature=ssl gives w2v-BERT {2 * self.NUM_BINS} log mel bins, this model reads "
                f"{options['feature_projection_input_dim']}: choose another model"
            )
        self.fbank = Fbank(sample_rate=SAMPLE_RATE, n_mels=self.NUM_BINS, window="povey", normalise="none")
        self.min_samples = self.fbank.frame + self.fbank.hop

    def forward(self, waveforms: Tensor) -> Tensor:
        with torch.autocast(waveforms.device.type, enabled=False):  # a power spectrum needs the range of float32
            frames = standardised(self.fbank(waveforms), correction=1)
        pairs = frames[..., : frames.shape[-1] // 2 * 2]  # the model's own preprocessing masks an odd last one
        return pairs.transpose(1, 2).reshape(len(pairs), -1, 2 * self.NUM_BINS)


def standardised(values: Tensor, *, correction: int) -> Tensor:
    """Zero mean and unit variance over the last dimension, as the models' own preprocessing has it."""
    var, mean = torch.var_mean(values, dim=-1, correction=correction, keepdim=True)
    return (values - mean) / (var + 1e-7).sqrt()


def chosen_layers(layers: str | Sequence[int], num_layers: int) -> list[int]:
    """Numbers in 0 .. num_layers, each once; raises ConfigError."""
    everything = list(range(num_layers + 1))
    chosen = everything if layers == "all" else [] if isinstance(layers, str) else list(layers)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(everything):
        raise ConfigError(
            f"feature.layers={layers} must be all, or different numbers from 0 to {num_layers}: 0 is what enters the "
            f"first transformer layer, {num_layers} the encoder's output"
        )
    return chosen
