"""Parts may be replaced after construction: every call checks by shapes whether they still match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument

ADVICE = "Replace parts that depend on each other together."


def run_part(name: str, part: Any, *inputs: Any) -> Any:
    """``part(*inputs)``; if a layer fails on the number of channels, the error names it and both numbers.

    Raises:
        InvalidArgument: a layer expects another number of channels than it receives.
    """
    if torch.compiler.is_compiling():
        return part(*inputs)
    try:
        return part(*inputs)
    except RuntimeError:
        _explain(name, part, inputs)
        raise


def _explain(name: str, part: nn.Module, inputs: Sequence[Any]) -> None:
    """Run ``part`` again and raise at the first layer whose input does not match."""

    def check(path: str) -> Any:
        def hook(layer: Any, args: tuple[Tensor, ...]) -> None:
            linear = isinstance(layer, nn.Linear)
            wanted, given = (layer.in_features, -1) if linear else (layer.in_channels, -3)
            if args[0].shape[given] != wanted:
                raise InvalidArgument(
                    f"{name}{path and '.'}{path} takes {wanted} {'features' if linear else 'channels'}, but received "
                    f"{args[0].shape[given]} (shape {list(args[0].shape)}). {ADVICE}"
                )

        return hook

    layers = [(p, m) for p, m in part.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    handles = [layer.register_forward_pre_hook(check(path)) for path, layer in layers]
    try:
        part(*inputs)
    except RuntimeError:
        pass  # not about channels: the caller raises it
    finally:
        for handle in handles:
            handle.remove()


def check_same(what: str, found: float, of: str, expected: int) -> None:
    """Raise InvalidArgument unless two parts agree on a number."""
    if found != expected:
        raise InvalidArgument(f"{what} is {found:g}, but {of} {expected}; expected the same. {ADVICE}")


def check_maps(head: str, scores: Sequence[Tensor], codes: Sequence[Tensor], per_anchor: int, maps: int) -> None:
    """Raise InvalidArgument unless a head returns ``per_anchor`` scores and 4 numbers for each anchor of each map.

    Args:
        head: name of the head.
        scores: [N, A * ``per_anchor``, H, W] of each map.
        codes: [N, A * 4, H, W] of each map.
        maps: number of feature maps.
    """
    check_same(f"the number of maps with scores of {head}", len(scores), "that of feature maps", maps)
    check_same(f"the number of maps with boxes of {head}", len(codes), "that of feature maps", maps)
    for i, (of_scores, of_codes) in enumerate(zip(scores, codes, strict=True)):
        anchors = of_codes.shape[1] // 4
        if of_scores.shape[1] != anchors * per_anchor:
            raise InvalidArgument(
                f"{head} returns {of_scores.shape[1]} scores per cell of map {i}, but {anchors} boxes with "
                f"{per_anchor} scores each; expected {anchors * per_anchor}. {ADVICE}"
            )


def check_anchors(head: str, codes: Sequence[Tensor], generator: Any, anchors: Tensor) -> None:
    """Raise InvalidArgument unless ``anchors`` [A, 4] match the number of boxes in ``codes``, [N, A * 4, H, W] each."""
    # If sizes may be symbols, the model was called before. (torch 2.6 does not distinguish kinds of capture.)
    if getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)():
        return
    boxes = sum(level[0].numel() for level in codes) // 4
    if boxes == len(anchors):
        return
    per_cell = getattr(generator, "num_anchors_per_location", lambda: "another number of")()
    raise InvalidArgument(
        f"{head} predicts {[level.shape[1] // 4 for level in codes]} boxes per cell of its maps, {boxes} in total, but "
        f"the anchor generator creates {per_cell} anchors, {len(anchors)} in total; expected the same. {ADVICE}"
    )
