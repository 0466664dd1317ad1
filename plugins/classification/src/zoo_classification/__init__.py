"""Image classification models for ``zoo``: every builder, model class and weights enum, imported when first used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # asked for by Python and its tools, of every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo_classification.plugin import public_names

    module = public_names().get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from zoo_classification.plugin import public_names

    return sorted({*globals(), *public_names()})


class _Package(ModuleType):
    """This package. Three builders have the name of the module that holds them, and stay builders here.

    Python stores a submodule in its package, under its name, once it is imported: ``zoo_classification.alexnet`` would
    be one or the other, as it happens. ``from zoo_classification.alexnet import AlexNet`` works all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("alexnet", "googlenet", "mobilenet_v2") and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
