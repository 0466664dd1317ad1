"""Video classification models for ``zoo``: every builder, model class and weights enum, imported when first used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # asked for by Python and its tools, of every module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo_video.plugin import public_names

    module = public_names().get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from zoo_video.plugin import public_names

    return sorted({*globals(), *public_names()})


class _Package(ModuleType):
    """This package. ``s3d`` is a builder and the module that holds it, and stays the builder here.

    Python stores a submodule in its package, under its name, once it is imported: ``zoo_video.s3d`` would be one or
    the other, as it happens. ``from zoo_video.s3d import S3D`` works all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "s3d" and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
