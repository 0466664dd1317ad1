"""Interpretation of a builder's arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.contract import check_count

_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


def as_source(given: str | os.PathLike[str]) -> str | None:
    """``given`` as the URL or path of a file; None if it can only be a misspelt name."""
    text = os.fspath(given)
    if "://" in text:
        return text
    looks_like_path = not isinstance(given, str) or os.sep in text or text.endswith(_SUFFIXES) or Path(text).is_file()
    return text if looks_like_path else None


def check_sizes(kwargs: Mapping[str, Any]) -> None:
    for name, least in (("num_classes", 0), ("in_channels", 1)):
        if kwargs.get(name) is not None:
            check_count(name, kwargs[name], least)


def listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
