"""Models of pictures as they can be captured: what most tasks' ``provides["export"]`` are made of."""

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
UNEQUAL = 32  # pixels by which the width of an example exceeds its height where they are free

Finish = Callable[[Any, tuple[Tensor, ...]], Any]


class Whole(nn.Module):
    """Pixels in, what follows the model out: preprocessing, model and postprocessing as one graph.

    Args:
        preset: prepares each of the inputs.
        model: takes what ``preset`` makes of them.
        finish: called with what the model gives, in float32, and the inputs.
    """

    def __init__(self, preset: nn.Module, model: nn.Module, finish: Finish) -> None:
        super().__init__()
        self.preset, self.model, self.finish = preset, model, finish

    def forward(self, *pictures: Tensor) -> Any:
        prepared = (self.preset(picture).to(dtype_of(self.model)) for picture in pictures)
        return self.finish(_widened(self.model(*prepared)), pictures)


class Float32(nn.Module):
    """A model of another type, which takes and returns float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Tensor) -> Any:
        dtype = dtype_of(self.model)
        return _widened(self.model(*(t.to(dtype) if t.is_floating_point() else t for t in arguments)))


def dtype_of(model: nn.Module) -> torch.dtype:
    """Of a model's floating parameters."""
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
        model: takes pictures as they are prepared.
        image_size: (height, width); by default that of the model's or its weights' preprocessing.
        dynamic: which of the axes are to be free.
        preprocessing: to be part of the graph, which then takes uint8 [N, H, W, C] of any height and width.
        finish: what then follows the model; see :class:`Whole`.

    Raises:
        InvalidArgument: no size is known, or the model takes one only and another or any is asked for.
    """
    free = any(side in dynamic for side in SIDES)
    own = image_size_of(model)
    if own is not None and (free and preprocessing is None):
        raise fixed_size(model, own)
    size = image_size or example_size(model, free or preprocessing is not None)
    if size is None:
        raise InvalidArgument(
            f"{type(model).__name__} takes pictures of any size, and a file of one: give image_size=(height, width), "
            "or let them be free: dynamic=('height', 'width')."
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
    """(height, width) that a model's weights are made for: what is cut out or resized to, squared; else None.

    Args:
        any_size: whether the model is known to take any, so that 224 × 224 do where nothing is known.
    """
    found = default_size(model)
    if found is None and (weights := loaded_weights(model)) is not None and weights.transforms is not None:
        side = weights.transforms.arguments.get("resize_size")
        found = (side, side) if isinstance(side, int) else (side[0], side[-1]) if side else None
    return found or ((224, 224) if any_size else None)


def fixed_size(model: nn.Module, size: tuple[int, int]) -> InvalidArgument:
    """The error of a model that takes one size alone."""
    return InvalidArgument(
        f"{type(model).__name__} takes pictures of {size[0]}×{size[1]} pixels alone: height and width cannot be "
        "free. Leave them out of dynamic, or put the preprocessing into the file, which resizes: "
        "with_preprocessing=True."
    )
