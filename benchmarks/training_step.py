"""A training step of ECAPA (512 channels) beside mvector's and SpeechBrain's, interleaved in one run.

    make peers
    .venv-peers/bin/python benchmarks/training_step.py [--rounds 3] [--repetitions 3] [--only NAME ...]

Forward, backward and Adam on 64 utterances of 3 s (300 frames of 80 bins), 3000 speakers, each toolkit's own network,
cosine classifier and additive angular margin. Two threads, and the same allocator settings for all.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext

import torch
from contest import contest
from torch import Tensor, nn

from speaker_id.training.allocator import keep_memory

BATCH, FRAMES, BINS, SPEAKERS = 64, 300, 80, 3000


class Ours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from speaker_id import build

        config = build.compose("train", ["model=ecapa", "pooling=attentive_statistics", "loss=aam"])
        self.model = build.embedding_model(config.model, config.pooling, BINS)
        self.head = build.instantiate(config.loss, self.model.out_dim, SPEAKERS)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.head(self.model(features), labels).loss
        return loss


class Mvector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from mvector.loss.aamloss import AAMLoss
        from mvector.models.ecapa_tdnn import EcapaTdnn
        from mvector.models.fc import SpeakerIdentification

        self.model = EcapaTdnn(BINS)
        self.head = SpeakerIdentification(self.model.embd_dim, SPEAKERS)
        self.loss = AAMLoss()

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.head(self.model(features.transpose(1, 2))), labels)
        return loss


class Speechbrain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
        from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

        self.model = ECAPA_TDNN(BINS, lin_neurons=192, channels=[512, 512, 512, 512, 1536])
        self.head = Classifier(192, out_neurons=SPEAKERS)
        self.loss = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss(self.head(self.model(features.transpose(1, 2))), labels.unsqueeze(1))
        return loss


def steps(make: Callable[[], nn.Module], *, bf16: bool) -> Callable[[int], list[float]]:
    def run(repetitions: int) -> list[float]:
        keep_memory()
        torch.manual_seed(0)
        network = make().train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        features = torch.randn(BATCH, BINS, FRAMES)
        labels = torch.randint(SPEAKERS, (BATCH,))
        return list(timed_steps(network, optimizer, features, labels, bf16=bf16, num=repetitions + 2))[2:]

    return run


def timed_steps(
    network: nn.Module, optimizer: torch.optim.Optimizer, features: Tensor, labels: Tensor, *, bf16: bool, num: int
) -> Iterable[float]:
    for _ in range(num):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            loss = network(features, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield time.perf_counter() - start


if __name__ == "__main__":
    contest(
        __file__,
        {
            "speaker_id fp32": steps(Ours, bf16=False),
            "mvector fp32": steps(Mvector, bf16=False),
            "speechbrain fp32": steps(Speechbrain, bf16=False),
            "speaker_id bf16": steps(Ours, bf16=True),
            "speechbrain bf16": steps(Speechbrain, bf16=True),
        },
        unit="utterances",
        per_run=BATCH,
    )
