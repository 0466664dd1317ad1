"""Tasks on pictures: all steps except ``decode``, and ``example``, the input of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.contract import Result, Task, TaskSpec, Weights, load_object
from zoo.errors import ContractError, InvalidArgument
from zoo.io.image import open_image
from zoo.loading import built_by, default_size, image_size_of, in_channels_of, loaded_weights, task_of
from zoo.registry import task_built_by

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
SLACK = 1e-3  # by which resizing may exceed [0, 1]
SIZE = 224  # pixels of a side, if neither the model nor its weights have a size


class PictureTask(Task):
    """A task on pictures: derive from it, and override :meth:`decode` and other steps that differ.

    Options are keyword arguments of the constructor; ``dataclasses.dataclass`` is the shortest way to write it.
    """

    def load(self, source: Any) -> Any:
        """A picture from a path or a PIL image, upright; a tensor is returned unchanged.

        Raises:
            InvalidArgument: a float tensor has values outside [0, 1].
        """
        if isinstance(source, Tensor) and source.is_floating_point() and source.numel():
            least, most = (float(one) for one in source.aminmax())
            if most > 1 + SLACK or least < -SLACK:
                raise InvalidArgument(
                    f"The picture has values from {least:.6g} to {most:.6g}; expected 0 to 1 in a float tensor, or "
                    "uint8. Divide values up to 255 by 255, and do not normalise: the preprocessing does."
                )
        return open_image(source) if isinstance(source, str | Path | Image.Image) else source

    def transform(self, weights: Weights) -> Callable[[Any], Any]:
        """The weights' own preprocessing.

        Raises:
            InvalidArgument: the weights have no preprocessing.
        """
        if weights.transforms is None:
            raise InvalidArgument("The weights have no preprocessing; give zoo.Weights(transforms=zoo.Preset(…)).")
        return weights.transforms()

    def protocol(self, weights: Weights) -> dict[str, Any]:
        """The arguments of the weights' own preprocessing: sizes, crops, interpolation."""
        return dict(weights.transforms.arguments) if weights.transforms else {}

    def collate(self, prepared: Sequence[Any]) -> tuple[Any, ...]:
        """Prepared pictures of one size, each [C, H, W] → a batch [N, C, H, W]."""
        return (torch.stack(list(prepared)),)

    def draw(self, result: Any) -> Image.Image:
        picture: Image.Image = result.draw()
        return picture

    def gather(self, source: Any, results: Iterator[Any]) -> Result:
        raise ContractError(
            f"{type(self).__name__}.transform returns an iterator of parts, which requires gather(), too."
        )

    def sequence(self, source: Any) -> bool:
        return False

    def example(self, model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[Any, ...]:
        """One picture, [1, C, H, W], of the size of the model or its weights' preprocessing, else 224 × 224.

        ``size`` is used for models that take any size, if it is at least ``min_size``.
        """
        return (noise(1, in_channels_of(model), *side_lengths(model, weights, size)),)


def side_lengths(model: nn.Module, weights: Weights | None, size: int | None = None) -> tuple[int, int]:
    """(height, width) of an example: the model's own, else ``size`` if it is large enough, else the weights' own."""
    if size is None:
        return default_size(model, weights) or (SIZE, SIZE)
    least = max(weights.min_size) if weights is not None and weights.min_size else 1
    return image_size_of(model) or (max(size, least), max(size, least))


def make_task(spec: TaskSpec, options: Mapping[str, Any]) -> Task:
    """The task's object, with ``options`` and the defaults of the others."""
    given = {name: options.get(name, option.default) for name, option in spec.options_of("predict").items()}
    task: Task = load_object(spec.implementation)(**given)
    return task


def check_steps(given: Any) -> Task:
    """``given``, checked to be an object with a task's steps.

    Raises:
        InvalidArgument: it is something else.
    """
    lacking = [name for name in ("load", "transform", "collate", "decode") if not callable(getattr(given, name, None))]
    if lacking or isinstance(given, type):
        what = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
        raise InvalidArgument(
            f"task is {what}; expected a task's name, a zoo.TaskSpec, or an object of a class derived from "
            "zoo.PictureTask or with the methods of zoo.Task."
        )
    steps: Task = given
    return steps


def spec_of(model: nn.Module, steps: Task) -> TaskSpec:
    """The description of given steps: the model's own task; for a model without one, single pictures."""
    with contextlib.suppress(InvalidArgument):
        return task_of(model)
    kind = type(steps)
    return TaskSpec(kind.__name__, f"{kind.__module__}:{kind.__qualname__}", suffixes=PICTURES, same_size=True)


def example_of(model: nn.Module) -> tuple[Any, ...]:
    """The example input of a model: from the task of its builder, or one picture if that is not known."""
    spec = task_built_by(built_by(model) or "")
    task = PictureTask() if spec is None else make_task(spec, {})  # type: ignore[abstract]
    return task.example(model, loaded_weights(model))


def noise(*shape: int) -> Tensor:
    """The same random numbers in [0, 1] each time; the global generator is not changed."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))
