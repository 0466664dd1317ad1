"""Segmentation models for ``zoo``: every builder, model class and weights enum, imported when first used.

``zoo_segmentation.fcn``, ``.deeplabv3`` and ``.lraspp`` are the modules; the builders of these names, which take any
backbone, are had by ``zoo.get_model("fcn", backbone=…)``.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = ("deeplabv3", "fcn", "losses", "lraspp", "metrics")


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # asked for by Python and its tools, of every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    from zoo_segmentation.plugin import public_names

    module = public_names().get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from zoo_segmentation.plugin import public_names

    return sorted({*globals(), *_MODULES, *public_names()})
