"""The arguments of a builder, stored with the model that it made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Unkept:
    """Placeholder for an argument that cannot be saved, with the argument's repr."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class BuiltWith:
    """The arguments of a builder. Copies share them; a pickle contains those that JSON can represent.

    Attributes:
        arguments: name → value; modules and tensors, which are part of the model, are replaced by an :class:`Unkept`.
        filled: the value of :func:`zoo.loading.is_filled_from_outside` for the builder.
        builder: the builder; None after unpickling.
    """

    def __init__(self, arguments: Mapping[str, Any], filled: bool, builder: Any = None) -> None:
        self.arguments = {
            k: Unkept(type(v).__name__) if isinstance(v, nn.Module | Tensor) else v for k, v in arguments.items()
        }
        self.filled = filled
        self.builder = builder

    def __deepcopy__(self, memo: Any) -> BuiltWith:
        return BuiltWith(self.arguments, self.filled, self.builder)

    def __reduce__(self) -> tuple[Any, ...]:
        return BuiltWith, (self._portable(), self.filled)

    def _portable(self) -> dict[str, Any]:
        return {k: v if is_plain(v) else Unkept(short_repr(v)) for k, v in self.arguments.items()}

    def plain(self) -> tuple[dict[str, Any], list[str]]:
        """The arguments that JSON can represent, without weights of parts, and the names of the others with their
        types."""
        kept: dict[str, Any] = {}
        unkept: list[str] = []
        for name, value in self.arguments.items():
            if name.startswith("weights"):
                if value is None:
                    kept[name] = None
            elif is_plain(value):
                kept[name] = json.loads(json.dumps(value))
            else:
                unkept.append(f"{name}={short_repr(value)}")
        return kept, unkept


def is_plain(value: Any) -> bool:
    """Whether JSON can represent a value: numbers, text, None, and lists, tuples and dicts of them."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(is_plain, value.values()))
    return value is None or type(value) in (bool, int, float, str)


def short_repr(value: Any) -> str:
    return getattr(value, "__qualname__", None) or repr(value)[:80]
