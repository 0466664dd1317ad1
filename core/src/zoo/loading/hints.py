"""Evaluates annotations of ``forward`` that are strings, since graphs of torch.fx keep and pickle them."""

from __future__ import annotations

import contextlib
import typing

from torch import nn

_seen: set[type] = set()


def evaluate_hints(model: nn.Module) -> None:
    """Evaluate the annotations of ``forward`` of all classes in ``model``, except torch's, once."""
    for kind in {type(m) for m in model.modules()} - _seen:
        _seen.add(kind)
        forward = vars(kind).get("forward")
        if any(isinstance(hint, str) for hint in getattr(forward, "__annotations__", {}).values()):
            with contextlib.suppress(NameError, TypeError, AttributeError):  # names only for type checkers
                forward.__annotations__ = typing.get_type_hints(forward)
