"""Export of video classifiers: clips in, logits or probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Exportable, Preset
from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.loading import default_size, image_size_of, loaded_weights
from zoo.running.exportable import SIDES, UNEQUAL, Whole, fixed_size
from zoo.transforms.graph import GraphPreset, in_graph
from zoo_classification.export import Restored as Restored, probabilities
from zoo_video.task import frames_of

AXES = {0: "batch", 2: "frames", 3: "height", 4: "width"}
PIXEL_AXES = {0: "batch", 1: "frames", 2: "height", 3: "width"}


def export(
    model: nn.Module,
    image_size: tuple[int, int] | None,
    frames: int | None = None,
    *,
    dynamic: Sequence[str] = (),
    preprocessing: Preset | None = None,
) -> Exportable:
    """A model in the form that :func:`zoo.export` expects: ``video``, float [N, 3, T, H, W], prepared by the weights'
    transforms.

    With ``preprocessing`` it is uint8 [N, T, H, W, 3] of any height and width, and the file returns ``probabilities``.

    Args:
        model: a video classifier.
        image_size: (H, W); by default the crop size of the weights' transforms.
        frames: T; by default the number that the weights were evaluated with, or 16 if that is not known.
        dynamic: which of ``batch``, ``frames``, ``height`` and ``width`` are dynamic.
        preprocessing: preset to include in the graph.

    Raises:
        InvalidArgument: neither an image size nor weights that define one are given, or a size is dynamic that the
            model fixes.
    """
    sides = any(side in dynamic for side in SIDES) and preprocessing is None
    own = image_size_of(model)
    if sides and own is not None:
        raise fixed_size(model, own)
    if "frames" in dynamic and getattr(model, "num_frames", None) is not None:
        raise InvalidArgument(f"{type(model).__name__} takes only clips of {model.num_frames} frames.")
    size = image_size or default_size(model)
    if size is None:
        raise InvalidArgument(
            f"{type(model).__name__} takes clips of any size, but an exported file has a fixed size: pass "
            "image_size=(height, width)."
        )
    frames = check_count("frames", frames_of(model, loaded_weights(model)) if frames is None else frames, 1)
    several = 2 if "batch" in dynamic else 1
    if preprocessing is None:
        clip = torch.rand(several, 3, frames, size[0], size[1] + (UNEQUAL if sides else 0))
        return Exportable(model, (clip,), ("video",), axes={"video": AXES}, layouts={"video": "as prepared"})
    preset = _Clips(in_graph(preprocessing))
    clip = torch.randint(0, 256, (several, frames, size[0] + 7, size[1] + UNEQUAL, 3), dtype=torch.uint8)
    return Exportable(
        Whole(preset, model, probabilities),
        (clip,),
        ("video",),
        axes={"video": PIXEL_AXES},
        layouts={"video": "pixels in RGB, 0 to 255, [clip, frame, row, column, channel]"},
    )


class _Clips(nn.Module):
    """Applies a preset of frames to clips: uint8 [N, T, H, W, 3] → float [N, 3, T, h, w]."""

    def __init__(self, preset: GraphPreset) -> None:
        super().__init__()
        self.preset = preset

    def forward(self, clips: Tensor) -> Any:
        frames = self.preset(clips.flatten(0, 1))
        return frames.reshape(*clips.shape[:2], *frames.shape[1:]).transpose(1, 2)
