"""The presets of the two origin projects against the numbers that their documents and code give."""

import math
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from leaves import composed
from speaker_id import build
from speaker_id.training.margin import MarginWarmup


def chosen(experiment: str) -> dict[str, Any]:
    """Group -> option -> value."""
    return cast("dict[str, Any]", OmegaConf.to_container(composed(f"experiment={experiment}"), resolve=False))


def holds(found: Any, expected: dict[str, Any]) -> None:
    """Every expected option has its value."""
    assert {key: found[key] for key in expected} == expected


def learning_rates(experiment: str, *, steps_per_epoch: int) -> list[float]:
    """The rate at the start of every epoch, and after the last."""
    config = composed(f"experiment={experiment}")
    epochs = config.trainer.max_epochs
    optimizer = build.instantiate(config.optimizer)([nn.Parameter(torch.zeros(1))])
    schedule = build.instantiate(config.scheduler)(
        optimizer, total_steps=epochs * steps_per_epoch, steps_per_epoch=steps_per_epoch
    )
    rates = []
    for step in range(epochs * steps_per_epoch + 1):
        if step % steps_per_epoch == 0:
            rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("experiment", ["seed_ppvector", "seed_pytorch"])
def test_the_margin_is_full_from_the_first_step_on(experiment: str) -> None:
    config = composed(f"experiment={experiment}")
    margin: MarginWarmup = build.instantiate(config.callbacks.margin)
    assert [margin._grown(progress) for progress in (0.0, 1e-6, 0.5, 1.0)] == [1.0] * 4
    assert build.instantiate(config.loss, 192, 10).margin == 0.2


@pytest.mark.parametrize("experiment", ["seed_ppvector", "seed_pytorch"])
def test_a_preset_survives_the_debugging_run(experiment: str) -> None:
    config = composed(f"experiment={experiment}", "debug=fast")
    build.check_options(config.scheduler)
    build.instantiate(config.scheduler)(
        torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), total_steps=2, steps_per_epoch=2
    )


class TestPpvector:
    """0.3.7's configuration as its training log prints it."""

    def test_model_and_pooling_are_ecapa_with_attentive_statistics(self) -> None:
        config = chosen("seed_ppvector")
        backbone = config["model"]["backbone"]
        assert backbone["_target_"].endswith("ecapa.Ecapa")
        # Of [512, 512, 512, 512, 1536], [5, 3, 3, 3, 1] and [1, 2, 3, 4, 1] the last is the layer before pooling.
        holds(backbone, {"channels": 512, "out_channels": 1536})
        holds(backbone, {"kernel_sizes": [5, 3, 3, 3], "dilations": [1, 2, 3, 4]})
        assert config["model"]["projection"]["dim"] == 192
        assert config["pooling"]["_target_"].endswith(".AttentiveStatisticsPooling")
        holds(config["pooling"], {"bottleneck": 128, "global_context": True})

    def test_feature_loss_and_optimiser_have_its_numbers(self) -> None:
        config = chosen("seed_ppvector")
        assert config["feature"]["_target_"].endswith("mel.MelSpectrogram")
        holds(config["feature"], {"sample_rate": 16000, "n_fft": 400, "hop_length": 160, "win_length": 400})
        holds(config["feature"], {"n_mels": 80, "window": "hann", "normalise": "mean_variance"})
        assert config["loss"]["_target_"].endswith(".AdditiveAngularMargin")
        holds(config["loss"], {"margin": 0.2, "scale": 30.0, "easy_margin": False})
        holds(config["optimizer"], {"_target_": "torch.optim.Adam", "lr": 1e-3, "weight_decay": 1e-6})

    def test_data_and_length_have_its_numbers(self) -> None:
        config = chosen("seed_ppvector")
        holds(config["data"], {"crop_seconds": 3.0, "batch_size": 64, "min_seconds": 0.5, "num_workers": 4})
        assert config["trainer"]["max_epochs"] == 30
        assert config["seed"] == 1000
        assert config["callbacks"]["progress"]["every_n_batches"] == 100

    def test_the_augmentation_is_its_own_and_switched_off(self) -> None:
        entries = chosen("seed_ppvector")["augmentation"]
        waveform = {name: entry["prob"] for name, entry in entries["waveform"].items() if name != "_target_"}
        feature = {name: entry["prob"] for name, entry in entries["feature"].items() if name != "_target_"}
        assert waveform == dict.fromkeys(["noise", "resample", "speed", "shift", "volume"], 0.0)
        assert feature == dict.fromkeys(["specaug", "specsub"], 0.0)

    def test_the_learning_rate_is_that_of_its_log(self) -> None:
        """16579 steps an epoch: 1.21e-6 at step 100, 2.41e-6 at step 200."""
        config = composed("experiment=seed_ppvector")
        optimizer = build.instantiate(config.optimizer)([nn.Parameter(torch.zeros(1))])
        schedule = build.instantiate(config.scheduler)(optimizer, total_steps=30 * 16579, steps_per_epoch=16579)
        factor = schedule.lr_lambdas[0]
        assert 1e-3 * factor(0) == 0.0
        assert 1e-3 * factor(100) == pytest.approx(1.21e-6, abs=5e-9)
        assert 1e-3 * factor(200) == pytest.approx(2.41e-6, abs=5e-9)

    def test_the_learning_rate_rises_for_5_epochs_and_falls_towards_epoch_36(self) -> None:
        rates = learning_rates("seed_ppvector", steps_per_epoch=4)
        assert len(rates) == 31
        assert rates[:6] == pytest.approx([0.0, 2e-4, 4e-4, 6e-4, 8e-4, 1e-3])
        assert rates[5:] == pytest.approx(
            [1e-3 * 0.5 * (1 + math.cos(math.pi * (epoch - 5) / 31)) for epoch in range(5, 31)]
        )


class TestPytorch:
    """The first VoiceprintRecognition-Pytorch's options and code."""

    def test_the_network_is_a_resnet34_with_512_dimensions(self) -> None:
        model = chosen("seed_pytorch")["model"]
        assert model["backbone"]["_target_"].endswith("resnet.ResNet")
        holds(model["backbone"], {"block": "basic", "num_blocks": [3, 4, 6, 3]})
        assert model["projection"]["dim"] == 512

    def test_its_input_is_257_by_257_magnitudes(self) -> None:
        config = composed("experiment=seed_pytorch")
        holds(config.feature, {"n_fft": 512, "win_length": 400, "hop_length": 160, "sample_rate": 16000})
        holds(config.feature, {"power": 1, "normalise": "per_frame"})
        crop = round(config.data.crop_seconds * config.feature.sample_rate)
        assert crop == (257 - 1) * 160
        features = build.feature(config.feature)(torch.randn(1, crop))
        assert features.shape == (1, 257, 257)
        torch.testing.assert_close(features.mean(dim=1), torch.zeros(1, 257), atol=1e-5, rtol=0)

    def test_the_network_reads_such_an_input(self) -> None:
        config = composed("experiment=seed_pytorch")
        with torch.device("meta"):
            network = build.embedding_model(config.model, config.pooling, 257)
            frames = network.eval().backbone(torch.zeros(2, 257, 257))
        assert frames.shape == (2, 256 * 33, 33)  # halved three times
        assert network.out_dim == 512

    def test_loss_optimiser_and_data_have_its_numbers(self) -> None:
        config = chosen("seed_pytorch")
        assert config["loss"]["_target_"].endswith(".AdditiveAngularMargin")
        holds(config["loss"], {"margin": 0.2, "scale": 30.0, "easy_margin": False})
        holds(config["optimizer"], {"_target_": "torch.optim.SGD", "lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4})
        assert config["optimizer"]["nesterov"] is False
        holds(config["data"], {"batch_size": 32, "num_workers": 4})
        assert config["trainer"]["max_epochs"] == 50
        assert config["callbacks"]["epochs"]["save_top_k"] == 3

    def test_three_tenths_of_the_crops_are_reversed(self) -> None:
        entries = chosen("seed_pytorch")["augmentation"]
        assert [name for name in entries["waveform"] if name != "_target_"] == ["reverse"]
        assert entries["waveform"]["reverse"]["prob"] == 0.3
        assert entries["feature"] is None

    def test_the_learning_rate_is_divided_by_ten_every_ten_epochs(self) -> None:
        rates = learning_rates("seed_pytorch", steps_per_epoch=3)
        expected = [1e-3 * 0.1 ** (epoch // 10) for epoch in range(51)]
        assert rates == pytest.approx(expected)
