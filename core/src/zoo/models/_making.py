"""Private functions that torchvision's builders call: ``_resnet(block, layers, weights, progress, **kwargs)`` and
others."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from zoo.models._aliases import MAKERS


def make(row: str, *args: Any, **kwargs: Any) -> Any:
    """A network of the class and arguments in ``row``, with ``weights`` if there are any."""
    path, *words = row.split()
    module, _, name = path.partition(":")
    given = dict(zip([*(w for w in words if "=" not in w), "weights", "progress"], args, strict=False)) | kwargs
    weights, progress = given.pop("weights", None), given.pop("progress", True)
    if weights is not None and weights.meta.get("categories"):
        given["num_classes"] = len(weights.meta["categories"])
    for word in words:
        own, default, value = word.partition("=")
        if default:
            given.setdefault(own, (int(value), int(value)) if own == "input_size" else int(value))
    model = getattr(importlib.import_module(f"zoo.models.{module}"), name)(**given)
    if weights is not None:
        model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return model


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in MAKERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = functools.partial(make, MAKERS[name])
    globals()[name] = made
    return made
