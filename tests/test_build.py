"""Config to objects: what is made, and what a mistake in a config is told."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from speaker_id import build
from speaker_id.errors import ConfigError, TooShort
from speaker_id.feature.fbank import Fbank
from speaker_id.loss.cosine import AdditiveAngularMargin

FBANK = {"_target_": "speaker_id.feature.fbank.Fbank", "n_mels": 24}
VOLUME = {"_target_": "speaker_id.augmentation.volume.Volume", "prob": 0.5, "min_db": -3, "max_db": 3}
CHAIN = {
    "_target_": "speaker_id.augmentation.chain.Chain",
    "volume": VOLUME,
}


def test_the_config_folder_holds_the_training_config() -> None:
    assert (build.CONF_DIR / "train.yaml").is_file()


def test_a_target_is_made_with_its_options_and_the_sizes_known_only_now() -> None:
    config = {"_target_": "speaker_id.loss.cosine.AdditiveAngularMargin", "margin": 0.3, "scale": 20.0}
    for given in (config, OmegaConf.create(config)):
        loss = build.instantiate(given, 8, 5)
        assert isinstance(loss, AdditiveAngularMargin)
        assert (loss.margin, loss.scale, tuple(loss.head.weight.shape)) == (0.3, 20.0, (5, 8))


def test_a_partial_target_waits_for_the_rest() -> None:
    optimizer = build.instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert optimizer([torch.nn.Parameter(torch.ones(1))]).param_groups[0]["lr"] == 0.5


def test_an_unknown_option_names_the_nearest_and_all_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"Fbank has no option 'n_mel'; did you mean 'n_mels'\? there are: sample_rate, n_mels"
    ):
        build.instantiate({**FBANK, "n_mel": 40})


def test_an_unknown_option_of_an_inner_target_is_found_too() -> None:
    inner = {**VOLUME, "max_dB": 3}
    with pytest.raises(ConfigError, match=r"Volume has no option 'max_dB'; did you mean 'max_db'\?"):
        build.instantiate({**CHAIN, "volume": inner})


def test_options_are_checked_without_resolving_what_only_a_run_knows() -> None:
    node = OmegaConf.create({**FBANK, "window": "${hydra:runtime.choices.feature}", "sample_rate": "???"})
    build.check_options(node)


def test_keyword_collecting_classes_take_any_name() -> None:
    build.check_call(lambda **options: options, ["anything"], where="here")


def test_underscored_keys_are_hydras() -> None:
    build.check_options({**FBANK, "_recursive_": False, "_convert_": "all"})


@pytest.mark.parametrize("target", ["speaker_id.model.ecappa.Ecapa", "speaker_id.model.ecapa.Ecappa", "nowhere.X", ""])
def test_a_target_that_cannot_be_imported_is_named(target: str) -> None:
    with pytest.raises(ConfigError, match=f"_target_={target!r}"):
        build.instantiate({"_target_": target})


def test_our_own_error_comes_through_as_it_was_raised() -> None:
    with pytest.raises(ConfigError, match=r"^feature.window='x' does not exist") as raised:
        build.instantiate({**FBANK, "window": "x"})
    assert raised.value.__cause__ is None


def test_a_foreign_error_names_the_target_and_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"^SGD refuses these options: Invalid learning rate: -1.0; --cfg job"):
        build.instantiate({"_target_": "torch.optim.SGD", "lr": -1.0}, [torch.nn.Parameter(torch.ones(1))])


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigError, match="margin"):
        build.instantiate({"_target_": "speaker_id.loss.cosine.AdditiveMargin", "scale": 30.0}, 8, 5)


def test_an_option_added_on_the_command_line_must_exist_in_the_class() -> None:
    config = build.compose("train", ["+model.backbone.widht=3"])
    with pytest.raises(ConfigError, match=r"Ecapa has no option 'widht'; .*there are: in_dim, channels, out_channels"):
        build.embedding_model(config.model, config.pooling, 80)


def test_composing_a_wrong_choice_is_our_error() -> None:
    with pytest.raises(ConfigError, match=r"(?s)model=ecappa.*ecapa"):
        build.compose("train", ["model=ecappa"])


def test_every_stage_of_a_model_learns_its_input_size_from_the_stage_before() -> None:
    config = build.compose("train", ["model=xvector", "pooling=statistics", "model.backbone.out_channels=7"])
    model: Any = build.embedding_model(config.model, config.pooling, 24)
    assert model.backbone.layers[0].conv.in_channels == 24
    assert model.pooling.out_dim == 14
    assert model.projection.layers[0].in_features == 14


def test_a_feature_is_made_for_evaluation() -> None:
    feature = build.feature(FBANK)
    assert isinstance(feature, Fbank)
    assert not feature.training
    with pytest.raises(TooShort):
        feature(torch.zeros(1, 10))


def test_plain_gives_dicts_lists_and_resolved_numbers_that_share_nothing() -> None:
    config = OmegaConf.create({"rate": 8000, "inner": {"rate": "${rate}", "list": [1, 2]}, "1": None})
    result = build.plain(config)
    assert result == {"rate": 8000, "inner": {"rate": 8000, "list": [1, 2]}, "1": None}
    assert type(result["inner"]) is dict
    assert type(result["inner"]["list"]) is list
    result["inner"]["list"].append(3)
    assert list(config.inner.list) == [1, 2]


def test_plain_refuses_what_is_no_mapping() -> None:
    with pytest.raises(ConfigError, match="expected a mapping"):
        build.plain(OmegaConf.create([1, 2]))


@pytest.mark.parametrize(
    ("word", "message"),
    [("chanels", "did you mean 'channels'? there are: channels, scale"), ("zzz", "there are: channels, scale")],
)
def test_a_guess_is_made_only_when_there_is_one(word: str, message: str) -> None:
    assert build.nearest(word, ["channels", "scale"]) == message
