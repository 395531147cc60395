"""Into which group a speaker falls, from what a table says of them."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

MAX_GROUPS = 12
AGES = (0, 13, 18, 30, 45, 60)
GENDERS = {"f": "female", "w": "female", "m": "male"}
UNKNOWN = {"", "?", "-", "na", "n/a", "nan", "none", "unknown", "unk"}


def groups_of(column: str, values: Mapping[str, str]) -> dict[str, str]:
    """Value of each speaker -> the group of each whose value says something.

    Ages become ranges, and so do numbers that take more than `MAX_GROUPS` values: quarters of the speakers.
    """
    known = {speaker: value for speaker, value in values.items() if value.lower() not in UNKNOWN}
    if column.lower() in ("gender", "sex"):
        return {speaker: GENDERS.get(value.lower(), value) for speaker, value in known.items()}
    numbers = [number for value in known.values() if (number := _number(value)) is not None]
    is_age = column.lower() == "age"
    if not numbers or len(numbers) < len(known) or not (is_age or len(set(numbers)) > MAX_GROUPS):
        return known
    quarters = sorted({float(f"{edge:.3g}") for edge in np.quantile(numbers, [0, 0.25, 0.5, 0.75])})
    edges: Sequence[float] = AGES if is_age else quarters
    codes = np.clip(np.digitize(numbers, edges) - 1, 0, None)  # rounding may have put the lowest edge too high
    unit = " years" if is_age else ""
    return {
        name: range_name(edges, int(code), unit=unit, whole=is_age) for name, code in zip(known, codes, strict=True)
    }


def range_name(edges: Sequence[float], code: int, *, unit: str, whole: bool = False) -> str:
    """From one edge on, up to but without the next: "3 to 5 s", or "13 to 17 years" of whole numbers."""
    if code + 1 == len(edges):
        return f"{edges[code]:g}{unit} or more"
    if edges[code] == 0:
        return f"under {edges[1]:g}{unit}"
    return f"{edges[code]:g} to {edges[code + 1] - whole:g}{unit}"


def in_order(name: str) -> tuple[float, str]:
    """Sorts names of ranges by their numbers, and all others behind them by the alphabet."""
    start = re.match(r"(under )?(-?\d+(?:\.\d+)?)", name)
    return (np.inf if start is None else float(start[2]) - bool(start[1]), name)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
