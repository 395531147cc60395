"""Limits of quality as people type them."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_args

from speaker_id.errors import ConfigError
from speaker_id.inference.quality import QualityLimits, SecondVoice


def limits_from_texts(texts: Sequence[str]) -> QualityLimits:
    """`NAME=VALUE` each; limits that are not named keep their defaults. Raises ConfigError."""
    names = [field.name for field in fields(QualityLimits)]
    given: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            raise ConfigError(f"there is no limit of quality {name!r}; there are: {', '.join(names)}")
        try:
            given[name] = value if isinstance(getattr(QualityLimits, name), str) else float(value)
        except ValueError as error:
            raise ConfigError(f"{text!r}: {name} must be a number") from error
        if given[name] != given[name] or value == "":  # NaN would let everything pass
            raise ConfigError(f"{text!r} gives {name} no value")
        if name == "second_voice" and value not in get_args(SecondVoice):
            raise ConfigError(f"{text!r}: {name} is one of {', '.join(get_args(SecondVoice))}")
    return QualityLimits(**given)
