"""The names of another toolkit's weights to ours."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor

from speaker_id.errors import CheckpointError

# A pattern of whole names, and ours for it: a template of `re.Match.expand`, or a function of the groups.
Rule = tuple[str, str | Callable[..., str]]


def renamed(
    weights: Mapping[str, Tensor], rules: Sequence[Rule], *, source: str, ignored: Iterable[str] = ()
) -> dict[str, Tensor]:
    """`weights` under our names, the tensors themselves unchanged; what `ignored` names is left out.

    Raises CheckpointError, which calls the weights `source`, for a name that no rule knows or two that become one.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name in ignored:
            continue
        own = _own_name(name, rules)
        if own is None or own in result:
            what = "is unknown" if own is None else f"would be {own} a second time"
            raise CheckpointError(f"{source}: its weight {name!r} {what}; is this another network's checkpoint?")
        result[own] = tensor
    return result


def _own_name(name: str, rules: Sequence[Rule]) -> str | None:
    for pattern, own in rules:
        if found := re.fullmatch(pattern, name):
            return found.expand(own) if isinstance(own, str) else own(*found.groups())
    return None
