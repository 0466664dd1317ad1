"""A description of preprocessing, made from a preset's arguments without building it, which would import torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zoo.contract.checks import short
from zoo.contract.weights import Preset


def describe(preset: Preset) -> str:
    """What a preset of :mod:`zoo.transforms` does, step by step; any other preset is shown as a call.

    :func:`zoo.registry.in_words` describes those of plugins.
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
# The presets' defaults in zoo.transforms, what they always do, and how they normalise by default.
WORDS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "ImageClassification": ({"resize_size": 256, **_BILINEAR}, _SCALE, "normalise by ImageNet's mean and deviation"),
    "SemanticSegmentation": (_BILINEAR, _SCALE, "normalise by ImageNet's mean and deviation"),
    "VideoClassification": (_BILINEAR, _SCALE, "normalise by Kinetics' mean and deviation"),
    "ObjectDetection": ({}, _SCALE, "the model resizes and normalises"),
    "Pixels": ({}, ["uint8 as it is; the file prepares it"], ""),
    "OpticalFlow": ({}, ["scale both pictures to [-1, 1]"], ""),
}


INTERPOLATIONS = (
    "nearest",
    "nearest-exact",
    "bilinear",
    "bicubic",
    "box",
    "hamming",
    "lanczos",
    *range(6),
)  # PIL's too
LARGEST = 16384  # pixels of a side
_FRAME = {"crop_size", "resize_size", "mean", "std", "interpolation"}
# The arguments that the presets of zoo.transforms take, and those that they require.
TAKES: dict[str, tuple[set[str], set[str]]] = {
    "ImageClassification": (_FRAME | {"antialias"}, {"crop_size"}),
    "SemanticSegmentation": (_FRAME - {"crop_size"} | {"antialias"}, {"resize_size"}),
    "VideoClassification": (_FRAME, {"crop_size", "resize_size"}),
    "ObjectDetection": (set(), set()),
    "OpticalFlow": (set(), set()),
}


def problem(preset: Preset) -> str | None:
    """What is wrong with the arguments of a preset of :mod:`zoo.transforms`; None if nothing is, and for other presets,
    which check their arguments themselves."""
    module, _, name = preset.target.partition(":")
    if module != "zoo.transforms" or name not in TAKES:
        return None
    taken, needed = TAKES[name]
    given = dict(preset.arguments)
    if unknown := sorted(given.keys() - taken):
        return f"{name} takes no argument {unknown[0]!r}; it takes {', '.join(sorted(taken)) or 'none'}."
    if missing := sorted(needed - given.keys()):
        return f"{name} needs the argument {missing[0]!r}."
    for key, value in given.items():
        expected = _expected(name, key, value)
        if expected:
            return f"{name}'s argument {key} is {short(value)}; expected {expected}."
    return None


def _expected(preset: str, key: str, value: Any) -> str | None:
    """The expected value, if ``value`` is invalid."""
    if key.endswith("_size"):
        if value is None and preset == "SemanticSegmentation":
            return None
        sides = list(value) if isinstance(value, list | tuple) else [value]
        right = len(sides) in (1, 2) and all(type(side) is int and 1 <= side <= LARGEST for side in sides)
        return None if right else f"a number of pixels from 1 to {LARGEST}, or two"
    if key in ("mean", "std"):
        right = isinstance(value, list | tuple) and len(value) > 0 and all(type(v) in (int, float) for v in value)
        right = right and all(math.isfinite(v) and (v or key == "mean") for v in value)
        return None if right else "a number for each channel" + (", not 0" if key == "std" else "")
    if key == "interpolation":
        return None if value in INTERPOLATIONS else f"one of {', '.join(INTERPOLATIONS[:7])}"
    return None if value is None or isinstance(value, bool) else "true or false"


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
