"""Video classifiers as files: one clip of a fixed size in, logits out."""

from __future__ import annotations

import torch
from torch import nn

from zoo import Exportable
from zoo.contract import check_count
from zoo.errors import InvalidArgument
from zoo.loading import default_size, loaded_weights
from zoo_video.task import frames_of


def export(model: nn.Module, image_size: tuple[int, int] | None, frames: int | None = None) -> Exportable:
    """A model as :func:`zoo.export` takes it: ``video``, float [1, 3, T, H, W] as the weights' transforms prepare it.

    Args:
        model: a video classifier.
        image_size: (H, W); by default what the weights' transforms cut out.
        frames: T; by default as many as the weights were evaluated with, 16 where that is not known.

    Raises:
        InvalidArgument: neither an image size, nor weights that tell one.
    """
    size = image_size or default_size(model)
    if size is None:
        raise InvalidArgument(
            f"{type(model).__name__} takes clips of any size, and a file of one: give image_size=(height, width)."
        )
    frames = check_count("frames", frames_of(model, loaded_weights(model)) if frames is None else frames, 1)
    return Exportable(model, (torch.rand(1, 3, frames, *size),), ("video",))
