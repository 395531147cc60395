"""Every leaf of conf/ is under test the moment it exists: it composes, and fits its class.

What features and models promise is tested over their leaves in feature/test_every_feature.py and
model/test_every_model.py, at the sizes that each backbone's `TINY` names.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from leaves import GIVEN, GROUPS, LEAVES, USUAL, composed, entry_of, leaves
from speaker_id import build
from speaker_id.errors import ConfigError

ROOTS = sorted(path.stem for path in build.CONF_DIR.glob("*.yaml"))


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Any]:
    """Composes as a command does, with `hydra:` interpolations that lead into tmp_path."""

    def make(config_name: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(build.CONF_DIR), version_base="1.3"):
            config = compose(config_name, [*overrides], return_hydra_config=True)
        with_output = OmegaConf.merge(config, {"hydra": {"runtime": {"output_dir": str(tmp_path)}}})
        HydraConfig.instance().set_config(with_output)
        return config

    before = HydraConfig.instance().cfg
    yield make
    HydraConfig.instance().cfg = before


def unanswered(config: Any, path: str = "") -> set[str]:
    """The keys that hold ???, the user's to give."""
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=False)
    if not isinstance(config, dict):
        return {path} if config == "???" else set()
    return {key for name, node in config.items() for key in unanswered(node, f"{path}.{name}".lstrip("."))}


def targets(config: Any) -> Iterator[dict[str, Any]]:
    """Every node that names a class, however deep."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield config
        for node in config.values():
            yield from targets(node)


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_every_group_can_be_chosen_and_every_yaml_is_a_leaf() -> None:
    depths = {len(path.relative_to(build.CONF_DIR).parts) for path in build.CONF_DIR.rglob("*.yaml")}
    assert depths == {1, 2}  # deeper ones would be out of reach of `group=leaf`
    defaults = [OmegaConf.to_container(OmegaConf.load(build.CONF_DIR / f"{root}.yaml"))["defaults"] for root in ROOTS]
    named = {key for part in defaults for entry in part if isinstance(entry, dict) for key in entry}
    assert named == set(GROUPS)


@cache
def chosen(group: str, leaf: str) -> DictConfig:
    """The command's whole config with the leaf, Hydra's own part included."""
    entry = entry_of(group)
    with initialize_config_dir(str(build.CONF_DIR), version_base="1.3"):
        return compose(entry, [*GIVEN[entry], f"{group}={leaf}"], return_hydra_config=True)


@pytest.mark.parametrize(("group", "leaf"), LEAVES)
def test_every_leaf_composes_and_takes_effect(group: str, leaf: str) -> None:
    assert chosen(group, leaf).hydra.runtime.choices[group] == leaf


@pytest.mark.parametrize(("group", "leaf"), LEAVES)
def test_every_option_of_every_leaf_is_one_of_its_class(group: str, leaf: str) -> None:
    config = OmegaConf.to_container(chosen(group, leaf), resolve=False)
    assert isinstance(config, dict)
    nodes = list(targets({name: node for name, node in config.items() if name != "hydra"}))
    assert (
        len(nodes) >= {"train": 10, "eval": 1}[entry_of(group)]
    )  # train.yaml names about twenty classes: the walk walks
    for node in nodes:
        build.check_options(node)


@pytest.mark.parametrize("root", ROOTS)
def test_every_entry_composes_and_resolves_once_the_user_gave_what_he_must(root: str, whole: Any) -> None:
    given = [f"{key}=given" for key in unanswered(build.compose(root))]
    config = whole(root, *given)
    assert not unanswered(build.compose(root, given))
    for key in config:
        if key != "hydra" and OmegaConf.is_config(config[key]):  # hydra's own keys are filled in as a job starts
            OmegaConf.to_container(config[key], resolve=True, throw_on_missing=True)
    assert config.hydra.run.dir.startswith(f"runs/{config.name}/")


def test_training_asks_for_its_list_and_for_nothing_else() -> None:
    assert unanswered(build.compose("train")) == {"data.train_list"}


@pytest.mark.parametrize("leaf", leaves("experiment"))
def test_an_experiment_survives_another_choice_on_the_command_line(leaf: str) -> None:
    config = composed(f"experiment={leaf}", "loss=softmax", "seed=7")
    assert config.loss._target_.endswith("Softmax")
    assert config.seed == 7


@pytest.mark.parametrize("leaf", leaves("data"))
def test_data_options_are_those_of_the_data_module(leaf: str) -> None:
    from speaker_id.training.datamodule import SpeakerDataModule

    build.check_call(SpeakerDataModule, composed(f"data={leaf}").data, where="data")


# --- what Lightning and torch are given -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", leaves("scheduler"))
@pytest.mark.parametrize("optimizer", leaves("optimizer"))
def test_optimiser_and_schedule_take_their_steps(optimizer: str, scheduler: str) -> None:
    config = composed(f"optimizer={optimizer}", f"scheduler={scheduler}")
    weight = nn.Parameter(torch.ones(3))
    made = build.instantiate(config.optimizer)([weight])
    schedule = build.instantiate(config.scheduler)(made, total_steps=100, steps_per_epoch=10)
    rates = []
    for _ in range(100):
        weight.grad = torch.ones(3)
        rates.append(made.param_groups[0]["lr"])
        made.step()
        schedule.step()
    assert max(rates) == pytest.approx(config.optimizer.lr, rel=1e-3)
    assert 0 < rates[-1] < max(rates)
    assert bool((weight < 1).all())


@pytest.mark.parametrize("leaf", leaves("callbacks"))
def test_callbacks_are_made_and_write_into_the_runs_folder(leaf: str, whole: Any, tmp_path: Path) -> None:
    import pytorch_lightning as pl

    config = whole("train", *USUAL, f"callbacks={leaf}")
    made = [build.instantiate(node) for node in config.callbacks.values() if node is not None]
    assert all(isinstance(callback, pl.Callback) for callback in made)
    folders = [Path(callback.dirpath) for callback in made if isinstance(callback, pl.callbacks.ModelCheckpoint)]
    assert folders
    assert all(folder.is_relative_to(tmp_path) for folder in folders)


@pytest.mark.parametrize("leaf", leaves("logger"))
def test_loggers_are_made_and_write_into_the_runs_folder(leaf: str, whole: Any, tmp_path: Path) -> None:
    from pytorch_lightning.loggers import Logger

    config = whole("train", *USUAL, f"logger={leaf}")
    for node in config.logger.values():
        made = build.instantiate(node)
        assert isinstance(made, Logger)
        assert made.save_dir is None or Path(made.save_dir).is_relative_to(tmp_path)


@pytest.mark.parametrize("extra", [[], *([f"debug={leaf}"] for leaf in leaves("debug"))], ids=str)
@pytest.mark.parametrize("leaf", leaves("trainer"))
def test_trainers_are_made_or_say_what_the_machine_lacks(leaf: str, extra: list[str], whole: Any) -> None:
    import pytorch_lightning as pl

    config = whole("train", *USUAL, f"trainer={leaf}", *extra)
    if config.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        with pytest.raises(ConfigError, match=r"(?i)accelerator|gpu"):
            build.instantiate(config.trainer, logger=False)
        return
    trainer = build.instantiate(config.trainer, logger=False)
    assert isinstance(trainer, pl.Trainer)
    assert trainer.max_epochs == (1 if config.trainer.get("fast_dev_run") else config.trainer.max_epochs)


@pytest.mark.parametrize("leaf", leaves("augmentation"))
def test_augmentations_are_made_of_a_waveform_and_a_feature_part(leaf: str) -> None:
    node = composed(f"augmentation={leaf}").augmentation
    assert set(node) == {"waveform", "feature"}
    if unanswered(node):
        return  # it asks for a corpus: augmentation/test_contract.py gives one
    assert callable(build.instantiate(node.waveform))
    assert node.feature is None or isinstance(build.instantiate(node.feature), nn.Module)


def test_a_leaf_that_is_not_there_is_refused() -> None:
    with initialize_config_dir(str(build.CONF_DIR), version_base="1.3"), pytest.raises(HydraException):
        compose("train", ["model=no_such_model"])
