"""Capturable models of pictures, for most tasks' ``provides["export"]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract import Exportable, Preset
from zoo.errors import InvalidArgument
from zoo.loading import default_size, image_size_of, in_channels_of, loaded_weights
from zoo.running.optimization import copied as copied
from zoo.transforms.graph import in_graph

AXES = {0: "batch", 2: "height", 3: "width"}  # of pictures [N, C, H, W]
PIXEL_AXES = {0: "batch", 1: "height", 2: "width"}  # of pictures [N, H, W, C]
SIDES = ("height", "width")
PIXELS = "pixels in RGB, 0 to 255, [picture, row, column, channel]"
UNEQUAL = 32  # pixels by which the width of an example exceeds its height if both are dynamic

Finish = Callable[[Any, tuple[Tensor, ...]], Any]


class Whole(nn.Module):
    """Preprocessing, model and postprocessing as one graph, which takes pixels.

    Args:
        preset: the preprocessing of each input.
        model: takes the outputs of ``preset``.
        finish: called with the outputs of the model, in float32, and the inputs.
    """

    def __init__(self, preset: nn.Module, model: nn.Module, finish: Finish) -> None:
        super().__init__()
        self.preset, self.model, self.finish = preset, model, finish

    def forward(self, *pictures: Tensor) -> Any:
        prepared = (self.preset(picture).to(dtype_of(self.model)) for picture in pictures)
        return self.finish(_widened(self.model(*prepared)), pictures)


class Float32(nn.Module):
    """A model of another dtype, which takes and returns float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Tensor) -> Any:
        dtype = dtype_of(self.model)
        return _widened(self.model(*(t.to(dtype) if t.is_floating_point() else t for t in arguments)))


def dtype_of(model: nn.Module) -> torch.dtype:
    """The dtype of a model's floating point parameters."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {name: _widened(inner) for name, inner in value.items()}
    if hasattr(value, "_asdict"):
        return type(value)(*map(_widened, value))
    return type(value)(map(_widened, value)) if isinstance(value, list | tuple) else value


def export_pictures(
    model: nn.Module,
    image_size: tuple[int, int] | None,
    *,
    dynamic: Sequence[str] = (),
    preprocessing: Preset | None = None,
    finish: Finish = lambda outputs, pictures: outputs,
) -> Exportable:
    """A model of pictures [N, C, H, W] as :func:`zoo.export` takes it.

    Args:
        model: takes prepared pictures.
        image_size: (height, width); by default that of the model's or its weights' preprocessing.
        dynamic: names of the axes of variable size.
        preprocessing: a preset to include in the graph, which then takes uint8 [N, H, W, C] of any height and width.
        finish: the postprocessing in that case; see :class:`Whole`.

    Raises:
        InvalidArgument: no size is known, or another size or any size is requested of a model that takes only one.
    """
    free = any(side in dynamic for side in SIDES)
    own = image_size_of(model)
    if own is not None and (free and preprocessing is None):
        raise fixed_size(model, own)
    size = image_size or example_size(model, free or preprocessing is not None)
    if size is None:
        raise InvalidArgument(
            f"{type(model).__name__} takes pictures of any size, but a file needs one: give image_size=(height, "
            "width), or make them variable: dynamic=('height', 'width')."
        )
    if free and preprocessing is None:
        size = size[0], size[1] + UNEQUAL
    several = 2 if "batch" in dynamic else 1
    if preprocessing is None:
        example = torch.rand(several, in_channels_of(model), *size)
        return Exportable(model, (example,), ("image",), axes={"image": AXES}, layouts={"image": "as prepared"})
    preset = in_graph(preprocessing)
    pictures = torch.randint(0, 256, (several, size[0] + 7, size[1] + UNEQUAL, preset.channels), dtype=torch.uint8)
    return Exportable(
        Whole(preset, model, finish), (pictures,), ("image",), axes={"image": PIXEL_AXES}, layouts={"image": PIXELS}
    )


def example_size(model: nn.Module, any_size: bool) -> tuple[int, int] | None:
    """(height, width) of a model's weights: the side of their crop or resize, squared; else None.

    Args:
        any_size: whether the model takes any size, so that 224 × 224 is the default.
    """
    found = default_size(model)
    if found is None and (weights := loaded_weights(model)) is not None and weights.transforms is not None:
        side = weights.transforms.arguments.get("resize_size")
        found = (side, side) if isinstance(side, int) else (side[0], side[-1]) if side else None
    return found or ((224, 224) if any_size else None)


def fixed_size(model: nn.Module, size: tuple[int, int]) -> InvalidArgument:
    """The error of a model that takes only one size."""
    return InvalidArgument(
        f"{type(model).__name__} takes only pictures of {size[0]}×{size[1]} pixels: height and width cannot be "
        "variable. Remove them from dynamic, or put the preprocessing into the file, which resizes: "
        "with_preprocessing=True."
    )
