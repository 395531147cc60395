"""What every Hydra entry point shares: overrides checked before anything starts, and errors in one line."""

import logging
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf

from speaker_id import build
from speaker_id.errors import ConfigError, SpeakerIdError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


def run_command(run: Callable[[], Any], *, config_name: str) -> None:
    """Check the command line against the conf/ tree, then hand over to Hydra; exit status 2 for a mistyped option."""
    parser = get_args_parser()
    given = parser.parse_known_args()[0].overrides
    sys.argv[1:] = [quoted(argument) if argument in given else argument for argument in sys.argv[1:]]
    arguments, unknown = parser.parse_known_args()
    if unknown:
        print(
            f"error: {unknown[0]}: options have no dashes in front: write KEY=VALUE, like data.train_list=train.tsv; "
            "--help names them",
            file=sys.stderr,
        )
        sys.exit(2)
    # A user's own --config-dir may hold groups and keys that only Hydra can see.
    if not arguments.config_dir and not arguments.config_path and not arguments.help:
        try:
            check_overrides(config_name, arguments.overrides, complete=not arguments.cfg and not arguments.info)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
    run()


def reported(task: Callable[P, R]) -> Callable[P, R]:
    """Our errors leave a task as one log line and exit status 1; anything else is a bug and keeps its traceback.

    Ctrl-C is one line too, the text of the KeyboardInterrupt if it has any, and exit status 130.
    """

    @wraps(task)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return task(*args, **kwargs)
        except SpeakerIdError as error:
            logger.error("%s", _message(error))
            sys.exit(1)
        except KeyboardInterrupt as stop:
            logger.error("%s", str(stop) or "interrupted")
            sys.exit(130)

    return wrapper


def _message(error: SpeakerIdError) -> str:
    """The error's own text: one that comes out of a data worker has the worker's traceback in front."""
    kind = type(error)
    return str(error).rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip()


def quoted(override: str) -> str:
    """With its value in quotes where only so it can be read: Hydra's grammar knows no letters but a to z, no (, no ~.

    Paths are in every script: `data.train_list=录音/train.tsv`. Of a sweep's values each is quoted by itself. What
    begins a list or a dictionary is left alone, and so is what no quotes would mend.
    """
    key, equals, value = override.partition("=")
    if not equals or value.startswith(("[", "{")) or _is_readable(override):
        return override
    mended = f"{key}=" + ",".join('"' + part.replace('"', '\\"') + '"' for part in value.split(","))
    return mended if _is_readable(mended) else override


def _is_readable(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def check_overrides(config_name: str, overrides: list[str], *, complete: bool = False) -> None:
    """Raise ConfigError for a group, option or key that does not exist, naming the nearest that do.

    With `complete`, a key that must be given and is not raises too.
    """
    try:
        parsed = [o for o in OverridesParser.create().parse_overrides(overrides) if not o.is_hydra_override()]
    except HydraException as error:
        wrong = next((override for override in overrides if not _is_readable(override)), str(overrides))
        reason = next(line for line in str(error).splitlines() if not line.startswith("Error parsing"))
        raise ConfigError(
            f"cannot understand {wrong} ({reason.strip()}): write KEY=VALUE, and text with special characters in "
            "quotes: 'KEY=\"VALUE\"'"
        ) from error
    groups = [override for override in parsed if is_group(override.key_or_group)]
    for override in groups:
        _check_choice(override)
    values = [override for override in parsed if override not in groups]
    config = build.compose(config_name, [_first(override) for override in groups])
    for override in values:
        if not override.is_add() and not override.is_force_add():
            _check_kind(_check_key(config, str(override.key_or_group)), override)
    if complete:
        _check_given(config, {str(override.key_or_group) for override in values})


def is_group(key: str) -> bool:
    return (build.CONF_DIR / key).is_dir()


def options(group: str) -> list[str]:
    """The leaves of a config group."""
    return sorted(path.stem for path in (build.CONF_DIR / group).glob("*.yaml"))


def _choices(override: Override) -> list[str]:
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(options(override.key_or_group))
    if override.is_choice_sweep():
        return [str(choice) for choice in override.sweep_string_iterator()]
    return [str(choice) for choice in value] if isinstance(value, list) else [str(value)]


def _check_choice(override: Override) -> None:
    group = override.key_or_group
    known = options(group)
    if override.is_delete():
        return
    if override.value() is None:
        raise ConfigError(f"{override.input_line}: leave a group out by ~{group}; there are: {', '.join(known)}")
    if not _choices(override):
        raise ConfigError(f"{override.input_line} matches nothing; there are: {', '.join(known)}")
    for choice in _choices(override):
        if choice not in known:
            raise ConfigError(f"{group}={choice} does not exist; {build.nearest(choice, known)}")


def _first(override: Override) -> str:
    """The override as a single run would have it: the first of a sweep's choices."""
    if override.is_sweep_override():
        return f"{override.key_or_group}={_choices(override)[0]}"
    return str(override.input_line)


def _check_key(config: DictConfig, key: str) -> Any:
    """Walk down the dots; the first step that is not there is the mistake. Returns the value that stands there."""
    node: Any = config
    walked: list[str] = []
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return None  # into a list, a null or an interpolation: Hydra checks these
        names = [str(name) for name in node]  # also of what is still ???
        known = [name for name in names if not name.startswith("_")]
        if part not in names:
            where = ".".join([*walked, part])
            other = f"; another choice of {walked[0]}= may have it" if walked and is_group(walked[0]) else ""
            raise ConfigError(f"{where} does not exist; {build.nearest(part, known)}{other}")
        raw = OmegaConf.is_missing(node, part) or OmegaConf.is_interpolation(node, part)
        node = None if raw else node[part]
        walked.append(part)
    return node


def _check_kind(usual: Any, override: Override) -> None:
    """Where a list stands, a single value is a mistake; where a number stands, a word (`auto` is Lightning's own)."""
    value = override.value()
    if isinstance(usual, ListConfig) and isinstance(value, int | float | bool):
        raise ConfigError(f"{override.input_line}: needs a list, like {override.key_or_group}=[{value}]")
    text = value.text if isinstance(value, QuotedString) else value
    if isinstance(usual, bool) or not isinstance(usual, int | float) or not isinstance(text, str):
        return
    if text == "auto" or "${" in text:
        return
    try:
        float(text)
    except ValueError:
        raise ConfigError(f"{override.input_line}: needs a number, it is {usual} unless given") from None


def _check_given(config: DictConfig, given: set[str]) -> None:
    for key in _missing(OmegaConf.to_container(config, resolve=False)):
        parents = {key.rsplit(".", cut)[0] for cut in range(key.count(".") + 1)}
        if not given & parents:
            raise ConfigError(f"{key} is missing; give {key}=VALUE")


def _missing(node: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The keys whose value is still ???."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _missing(child, (*path, str(name)))
    elif node == MISSING:
        yield ".".join(path)
