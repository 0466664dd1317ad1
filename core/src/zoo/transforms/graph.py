"""The presets as part of a graph, which takes uint8 pictures of any size.

The code of :mod:`zoo.transforms.presets` depends on the size of a picture, which a graph does not know. Here sizes are
computed without branches, so that one graph works for all sizes. The pixels are those of the presets on tensors, which
differ from Pillow's by rounding: by 1 of 255 for bilinear resizing, by a few at sharp edges for bicubic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.contract import Preset
from zoo.errors import InvalidArgument
from zoo.transforms import presets
from zoo.transforms.functional import InterpolationMode

Size = tuple[Any, Any]
_SMOOTH = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)


class GraphPreset(nn.Module):
    """A preset for pictures, clips or frames in a graph: uint8 [N, H, W, C] → float32 [N, C, h, w].

    Args:
        preset: one of :mod:`zoo.transforms.presets`.

    Raises:
        InvalidArgument: the preset is another, its crop is larger than the picture, or its interpolation is nearest.
    """

    by_products = False  # resize by matrix products, if the graph's runtime does not antialias

    def __init__(self, preset: Any) -> None:
        super().__init__()
        kinds = (
            presets.ImageClassification,
            presets.SemanticSegmentation,
            presets.ObjectDetection,
            presets.VideoClassification,
            presets.OpticalFlow,
        )
        if type(preset) not in kinds:
            raise InvalidArgument(
                f"The preprocessing {type(preset).__name__} cannot be put into a graph; expected one of "
                f"{', '.join(kind.__name__ for kind in kinds)} of zoo.transforms. Prepare pictures outside the file."
            )
        self.resize_size = getattr(preset, "resize_size", None)
        self.crop_size = getattr(preset, "crop_size", None)
        self.mode = getattr(preset, "interpolation", InterpolationMode.BILINEAR)
        self.antialias = not isinstance(preset, presets.VideoClassification)  # as Pillow always does
        half = (0.5,) * 3 if isinstance(preset, presets.OpticalFlow) else None
        self.mean: tuple[float, ...] | None = half or getattr(preset, "mean", None)
        self.std: tuple[float, ...] | None = half or getattr(preset, "std", None)
        if self.resize_size is not None and self.mode not in _SMOOTH:
            raise InvalidArgument(f"Resizing with {self.mode.value!r} cannot be put into a graph; expected bilinear.")
        if self.crop_size is not None and self.resize_size is not None:
            sides = (self.resize_size[0], self.resize_size[-1])
            if self.crop_size[0] > sides[0] or self.crop_size[-1] > sides[1]:
                raise InvalidArgument(
                    f"A crop of {self.crop_size} from {self.resize_size} pixels, which needs padding, cannot be "
                    "put into a graph."
                )

    @property
    def channels(self) -> int:
        """Of the pictures."""
        return len(self.mean) if self.mean else 3

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.movedim(-1, -3).float()
        size: Size = (x.shape[-2], x.shape[-1])
        if self.resize_size is not None:
            size = resized_sides(*size, self.resize_size)
            if self.by_products:
                rows = _shares(x.shape[-2], size[0], self.mode, self.antialias)
                columns = _shares(x.shape[-1], size[1], self.mode, self.antialias)
                x = rows @ (x @ columns.mT)
            else:
                smooth = {"antialias": True} if self.antialias else {"align_corners": False}
                x = F.interpolate(x, size, mode=self.mode.value, **smooth)
            x = x.round().clamp(0, 255)  # as for uint8 pictures
        if self.crop_size is not None:
            rows, columns = self.crop_size[0], self.crop_size[-1]
            x = x.index_select(-2, torch.arange(rows, device=x.device) + _margin(size[0], rows))
            x = x.index_select(-1, torch.arange(columns, device=x.device) + _margin(size[1], columns))
        x = x / 255
        if self.mean is not None and self.std is not None:
            mean, std = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
            x = (x - mean) / std
        return x


def in_graph(preset: Preset | None) -> GraphPreset:
    """The preprocessing of weights as a module for a graph.

    Raises:
        InvalidArgument: the weights have no preprocessing, or an unsupported one.
    """
    if preset is None:
        raise InvalidArgument("The weights have no preprocessing that can be put into a file.")
    return GraphPreset(preset())


def resized_sides(height: Any, width: Any, size: tuple[int, ...]) -> Size:
    """(height, width) as in :func:`zoo.transforms.functional.resized_size`, also for symbolic sizes."""
    if len(size) == 2:
        return size[0], size[1]
    # For the shorter side, size * length // length is size, so no branch is needed.
    return (
        torch.sym_max(size[0], size[0] * height // width),  # type: ignore[no-untyped-call]
        torch.sym_max(size[0], size[0] * width // height),  # type: ignore[no-untyped-call]
    )


def _margin(size: Any, crop: int) -> Any:
    """Half of the removed pixels, with halves rounded to even."""
    half = (size - crop) // 2
    return half + ((size - crop) % 2) * (half % 2)


def _shares(size: Any, new: Any, mode: InterpolationMode, smooth: bool) -> Tensor:
    """[new, size]: Pillow's weight of each of ``size`` pixels for each of ``new``."""
    place = torch.arange(size, dtype=torch.float32)[None] + 0.5
    step = torch.full((), size, dtype=torch.float32) / new
    stretch = step.clamp(min=1) if smooth else torch.ones(())
    centre = (torch.arange(new, dtype=torch.float32)[:, None] + 0.5) * step
    d = (place - centre).abs() / stretch
    shares: Tensor
    if mode == InterpolationMode.BILINEAR:
        shares = (1 - d).clamp(min=0)
    else:  # cubic convolution with a = -0.5
        near, far = ((1.5 * d - 2.5) * d) * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
        shares = torch.where(d < 1, near, torch.where(d < 2, far, 0.0))
    shares = shares / shares.sum(1, keepdim=True)
    return shares
