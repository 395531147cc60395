"""Config to objects: the only place that calls hydra's instantiate, and where the conf/ tree is found.

Hydra is imported where it is used: its package brings the application code along, which a command that only reads a
gallery must not pay for.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from speaker_id.contracts import SpeechDetector
from speaker_id.errors import ConfigError, SpeakerIdError
from speaker_id.model.embedding import EmbeddingModel

_PACKAGE = Path(__file__).resolve().parent
# Inside a wheel the tree lies in the package; in a checkout it lies beside src/.
CONF_DIR = next(path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir())


def compose(config_name: str = "train", overrides: list[str] | None = None) -> DictConfig:
    """The config that a command line would give, for notebooks and tests; raises ConfigError for unknown options."""
    import hydra
    from hydra.errors import HydraException

    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            return hydra.compose(config_name, overrides=overrides or [])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"cannot compose {config_name} with {overrides}: {error}") from error


def instantiate(config: Any, *args: Any, **kwargs: Any) -> Any:
    """Make the object that `_target_` names; an option it does not have raises ConfigError naming those it has."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    check_options(config)
    try:
        return hydra_instantiate(config, *args, **kwargs)
    except InstantiationException as error:
        if isinstance(error.__cause__, SpeakerIdError):
            raise error.__cause__ from None
        name = str(config.get("_target_", "a part")).rpartition(".")[2]
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"{name} refuses these options: {reason}; --cfg job shows them") from error


def embedding_model(model: Mapping[str, Any], pooling: Mapping[str, Any], in_dim: int) -> EmbeddingModel:
    """Backbone, pooling and projection of the `model` and `pooling` groups; each learns its input size here."""
    backbone: Any = instantiate(model["backbone"], in_dim)
    pool: Any = instantiate(pooling, backbone.out_dim)
    whole = EmbeddingModel(backbone, pool, instantiate(model["projection"], pool.out_dim))
    # Convolutions over maps run up to twice as fast with their channels innermost; other weights are not touched.
    return whole.to(memory_format=torch.channels_last)


def feature(config: Mapping[str, Any]) -> nn.Module:
    """The `feature` group's module, (B, S) -> (B, F, T)."""
    module: nn.Module = instantiate(config)
    return module.eval()


def speech_detector(choice: str | Mapping[str, Any]) -> SpeechDetector | None:
    """The `vad` group's detector, from its config or the name of its leaf; None where there is none (`vad=none`)."""
    config = yaml.safe_load(_leaf("vad", choice).read_text(encoding="utf-8")) if isinstance(choice, str) else choice
    if not config:
        return None
    detector: SpeechDetector = instantiate(config)
    return detector


def _leaf(group: str, name: str) -> Path:
    """The file of a leaf; raises ConfigError for one that does not exist."""
    known = {path.stem: path for path in sorted((CONF_DIR / group).glob("*.yaml"))}
    if name not in known:
        raise ConfigError(f"{group}={name} does not exist; {nearest(name, list(known))}")
    return known[name]


def plain(config: Any) -> dict[str, Any]:
    """A config as plain dicts and lists, interpolations resolved: what checkpoints carry."""
    container = OmegaConf.to_container(config, resolve=True)
    if not isinstance(container, dict):
        raise ConfigError(f"expected a mapping, got {container!r}")
    return {str(key): value for key, value in container.items()}


def target_class(config: Mapping[str, Any]) -> Any:
    """The class that the config's `_target_` names; raises ConfigError if there is none."""
    return _resolve(str(config["_target_"]))


def check_options(config: Any) -> None:
    """Raise ConfigError for an option that a class behind a `_target_` does not take, naming the nearest."""
    config = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    if not isinstance(config, Mapping):
        return
    for node in config.values():
        check_options(node)
    if "_target_" in config:
        keys = [str(key) for key in config if not str(key).startswith("_")]
        check_call(_resolve(str(config["_target_"])), keys, where=str(config["_target_"]))


def check_call(target: Callable[..., Any], keys: Iterable[str], *, where: str) -> None:
    """Raise ConfigError for the first key that is no parameter of `target`."""
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for key in keys:
        if key not in parameters:
            raise ConfigError(f"{where} has no option {key!r}; {nearest(key, list(parameters))}")


def nearest(word: str, known: list[str]) -> str:
    """'did you mean ...? there are ...': the part of a message that helps."""
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}there are: {', '.join(known) or 'none'}"


def _resolve(name: str) -> Any:
    from hydra.utils import get_object

    try:
        return get_object(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ConfigError(f"_target_={name!r} cannot be imported: {error}") from error
