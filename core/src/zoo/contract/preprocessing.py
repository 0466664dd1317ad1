"""Preprocessing in words, told by a preset's arguments alone: building it would import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.contract.weights import Preset


def describe(preset: Preset) -> str:
    """What a preset of :mod:`zoo.transforms` does, step by step; any other is shown as the call that it is.

    :func:`zoo.registry.in_words` knows those that plugins bring.
    """
    given = dict(preset.arguments)
    module, _, name = preset.target.partition(":")
    if module != "zoo.transforms" or name not in WORDS:
        return f"{preset.target}({listed(given)})"
    defaults, steps, after = WORDS[name]
    given = {**defaults, **given}
    words = []
    if given.get("resize_size") is not None:
        words.append(f"resize {_side(given.pop('resize_size'))} ({given.pop('interpolation')})")
    if "crop_size" in given:
        words.append(f"crop the central {_square(given.pop('crop_size'))}")
    words += steps
    if "mean" in given or "std" in given:
        words.append(f"normalise by {listed({k: given.pop(k) for k in ('mean', 'std') if k in given})}")
    else:
        words.append(after)
    text = "; ".join(word for word in words if word)
    rest = {k: v for k, v in given.items() if k not in ("resize_size", "interpolation")}
    return f"{text}; {listed(rest)}" if rest else text


_SCALE = ["scale to [0, 1]"]
_BILINEAR = {"interpolation": "bilinear"}
# The presets' defaults as zoo.transforms has them, what they always do, and how they normalise unless told otherwise.
WORDS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "ImageClassification": ({"resize_size": 256, **_BILINEAR}, _SCALE, "normalise by ImageNet's mean and deviation"),
    "SemanticSegmentation": (_BILINEAR, _SCALE, "normalise by ImageNet's mean and deviation"),
    "VideoClassification": (_BILINEAR, _SCALE, "normalise by Kinetics' mean and deviation"),
    "ObjectDetection": ({}, _SCALE, "the model resizes and normalises by itself"),
    "Pixels": ({}, ["uint8 as it is; the file prepares it"], ""),
    "OpticalFlow": ({}, ["scale both pictures to [-1, 1]"], ""),
}


def _numbers(size: Any) -> list[int]:
    return [size] if isinstance(size, int) else list(size)


def _side(size: Any) -> str:
    sizes = _numbers(size)
    return f"the shorter side to {sizes[0]}" if len(sizes) == 1 else f"to {_square(sizes)}"


def _square(size: Any) -> str:
    sizes = _numbers(size)
    return f"{sizes[0]} × {sizes[-1]}"


def listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
