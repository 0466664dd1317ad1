"""Checks for NaN and infinity in results and in the outputs that they are made from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.contract import Result
from zoo.quantized_tensors import dequantized

PLAIN = frozenset({str, bytes, int, bool, type(None)})  # types without numbers that may not be finite


def is_finite(value: Any) -> bool:
    """Whether all numbers of a tensor, an array or a float are finite. Mappings, lists, tuples and results are
    searched; other objects are ignored."""
    if type(value) in PLAIN:
        return True
    if isinstance(value, Tensor):
        if not (value.is_floating_point() or value.is_complex()) or value.numel() == 0 or value.is_meta:
            return True
        plain = dequantized(value).detach()
        plain = torch.view_as_real(plain) if plain.is_complex() else plain
        return all(math.isfinite(extreme.item()) for extreme in torch.aminmax(plain))  # aminmax propagates NaN
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):  # each result has a thousand categories, perhaps
        return PLAIN.issuperset(map(type, value)) or all(map(is_finite, value))
    if isinstance(value, Result) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return all(map(is_finite, _parts(value)))
    return True


def _parts(value: Any) -> Iterable[Any]:
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return list(getattr(value, "__dict__", {}).values())


def describe_cause(model: nn.Module) -> str:
    """The likely reason of non-finite outputs, from the model's parameters."""
    named = [*model.named_parameters(), *model.named_buffers()]
    bad = [name for name, tensor in named if not is_finite(tensor)]
    if not bad:
        return "its parameters are finite, so an intermediate result overflowed, or the input is not finite"
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"the model's own {', '.join(bad[:3])}{more} are not finite either: load other weights"
