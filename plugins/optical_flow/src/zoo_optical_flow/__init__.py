"""Optical flow models for ``zoo``: builders, weights, loss, metrics and ``.flo`` files, imported when first used."""

from __future__ import annotations

import importlib
from typing import Any

from zoo_optical_flow.plugin import PUBLIC

__all__ = sorted(PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})
