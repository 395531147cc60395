"""The log mel filter bank beside torchaudio's, mvector's and SpeechBrain's, interleaved in one run.

    make peers
    .venv-peers/bin/python benchmarks/fbank.py [--rounds 3] [--repetitions 10] [--only NAME ...]

64 utterances of 3 s, 80 bins, 25 ms every 10 ms. What counts are seconds of *processor* time over all threads: the
features are computed beside other work.
"""

import time
from collections.abc import Callable

import torch
from contest import contest
from torch import Tensor

from speaker_id.training.allocator import keep_memory

BATCH, SECONDS, SAMPLE_RATE, BINS = 64, 3, 16000, 80
Transform = Callable[[Tensor], Tensor]


def ours() -> Transform:
    from speaker_id.feature.fbank import Fbank

    return Fbank(sample_rate=SAMPLE_RATE, n_mels=BINS)


def torchaudio_kaldi() -> Transform:
    from torchaudio.compliance import kaldi

    return lambda waveforms: torch.stack(
        [kaldi.fbank(waveform.unsqueeze(0) * 32768, num_mel_bins=BINS, window_type="hamming") for waveform in waveforms]
    )


def mvector() -> Transform:
    from mvector.data_utils.featurizer import AudioFeaturizer

    return AudioFeaturizer("Fbank", method_args={"num_mel_bins": BINS, "sample_frequency": SAMPLE_RATE})


def speechbrain() -> Transform:
    from speechbrain.lobes.features import Fbank

    return Fbank(sample_rate=SAMPLE_RATE, n_mels=BINS)


def processor_seconds(make: Callable[[], Transform]) -> Callable[[int], list[float]]:
    def run(repetitions: int) -> list[float]:
        keep_memory()
        transform = make()
        waveforms = torch.rand(BATCH, SECONDS * SAMPLE_RATE, generator=torch.Generator().manual_seed(0)) - 0.5
        seconds = []
        with torch.no_grad():
            for _ in range(repetitions + 2):
                start = time.process_time()
                transform(waveforms)
                seconds.append(time.process_time() - start)
        return seconds[2:]

    return run


if __name__ == "__main__":
    contest(
        __file__,
        {
            "speaker_id": processor_seconds(ours),
            "torchaudio (Kaldi)": processor_seconds(torchaudio_kaldi),
            "mvector": processor_seconds(mvector),
            "speechbrain": processor_seconds(speechbrain),
        },
        unit="utterances",
        per_run=BATCH,
    )
