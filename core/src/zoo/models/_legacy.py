"""For builders that other programs copied from torchvision: arguments from before 0.13. Ours use ``zoo.builder``."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from zoo.errors import InvalidArgument


def handle_legacy_interface(**weights: tuple[str, Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a builder: with ``weights=("pretrained", member)``, ``pretrained=True``, or True as the first argument,
    selects the member. It may be a function of the arguments that returns the member."""

    def decorate(builder: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(builder)
        def build(*args: Any, **kwargs: Any) -> Any:
            kwargs.update(zip([*weights, "progress"], args, strict=False))
            for now, (once, member) in weights.items():
                given = kwargs.pop(once, kwargs.get(now))
                if isinstance(given, bool):
                    given = (member(kwargs) if callable(member) else member) if given else None
                    message = f"{builder.__name__}: {once} is from before torchvision 0.13; write {now}={given}."
                    warnings.warn(message, DeprecationWarning, stacklevel=2)
                if given is not None or now in kwargs:
                    kwargs[now] = given
            return builder(**kwargs)

        return build

    return decorate


def overwrite_named_param(kwargs: dict[str, Any], param: str, new_value: Any) -> None:
    """Add an argument that weights require to ``kwargs``.

    Raises:
        InvalidArgument: it is given with another value.
    """
    if kwargs.setdefault(param, new_value) != new_value:
        raise InvalidArgument(f"{param} is {kwargs[param]!r}; expected {new_value!r}, which the weights require.")


def overwrite_value_param(param: str, actual: Any, expected: Any) -> Any:
    """``expected``, if ``actual`` is None or the same.

    Raises:
        InvalidArgument: it is another value.
    """
    if actual is not None and actual != expected:
        raise InvalidArgument(f"{param} is {actual!r}; expected {expected!r}, which the weights require.")
    return expected
