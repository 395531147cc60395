"""Losses compute in float32 at least: bfloat16 rounds a cosine by 0.004, and a scale of 30 multiplies that."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
Rest = ParamSpec("Rest")
Result = TypeVar("Result")


def full_precision(tensor: Tensor) -> Tensor:
    """The same in float32; float64 stays what it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def in_full_precision(
    forward: Callable[Concatenate[Module, Tensor, Rest], Result],
) -> Callable[Concatenate[Module, Tensor, Rest], Result]:
    """A `forward(embeddings, ...)` that autocast does not reach."""

    @functools.wraps(forward)
    def guarded(self: Module, embeddings: Tensor, /, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return forward(self, full_precision(embeddings), *rest, **named)

    return guarded
