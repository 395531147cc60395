"""Checks of the options, once, where they enter; each raises ConfigError naming the option."""

from collections.abc import Sequence

from speaker_id.errors import ConfigError


def check_probability(prob: float) -> None:
    if not 0 <= prob <= 1:
        raise ConfigError(f"prob must lie in [0, 1], not {prob}")


def check_range(name: str, low: float, high: float, *, at_least: float = -200.0, at_most: float = 200.0) -> None:
    """`at_least` <= min_`name` <= max_`name` <= `at_most`; the defaults are wide enough for any level in dB."""
    if not at_least <= low <= high <= at_most:
        raise ConfigError(
            f"min_{name} = {low} and max_{name} = {high} must be in rising order within [{at_least}, {at_most}]"
        )


def check_at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{name} must be at least {least}, not {value}")


def check_rates(rates: Sequence[float]) -> None:
    if not rates or not all(0.5 <= rate <= 2.0 for rate in rates):
        raise ConfigError(f"rates must be one or more speeds between 0.5 and 2.0, not {list(rates)}")
