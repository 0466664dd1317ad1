"""Conversion of older checkpoints: renames keys that modules had before they got their present form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import nn

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]

# Keys of older files → present keys. No pattern matches a present key.
FPN_AND_RPN: Rules = (
    (r"(.*fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)", r"\1.0.\2"),
    (r"(.*rpn\.head\.conv)\.(weight|bias)", r"\1.0.0.\2"),
)
MASK_HEAD: Rules = ((r"(.*mask_head)\.mask_fcn(\d+)\.(weight|bias)", lambda m: f"{m[1]}.{int(m[2]) - 1}.0.{m[3]}"),)
RETINANET_HEAD: Rules = (
    (
        r"(.*head\.(?:classification|regression)_head\.conv)\.([0246])\.(weight|bias)",
        lambda m: f"{m[1]}.{int(m[2]) // 2}.0.{m[3]}",
    ),
)


def present_keys(*rules: Rules) -> Callable[[dict[str, Any], nn.Module], dict[str, Any]]:
    """A ``convert`` of :func:`zoo.builder` that renames keys."""
    patterns = [(re.compile(pattern), new) for some in rules for pattern, new in some]

    def convert(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
        """A state dict → the same under present keys; for ``zoo.builder(convert=…)``."""
        return {
            next((p.sub(new, key) for p, new in patterns if p.fullmatch(key)), key): value
            for key, value in state.items()
        }

    return convert
