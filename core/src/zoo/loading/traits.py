"""Facts of a built model, from its attributes or its layers: see :class:`zoo.contract.Model`."""

from __future__ import annotations

from torch import nn

from zoo import registry
from zoo.contract import TaskSpec, Weights
from zoo.errors import InvalidArgument
from zoo.loading.reports import built_by, loaded_weights


def image_size_of(model: nn.Module) -> tuple[int, int] | None:
    """(height, width) of the images that a model takes, if it declares a single size."""
    side = getattr(model, "image_size", None)
    return side if side is None else (side, side) if isinstance(side, int) else (side[0], side[1])


def default_size(model: nn.Module, weights: Weights | None = None) -> tuple[int, int] | None:
    """(height, width) of every picture after the preprocessing of a model's weights, else the size that the model
    requires.

    Args:
        model: a model.
        weights: description of its weights; by default of those that a builder loaded into it.
    """
    weights = weights or loaded_weights(model)
    side = weights.transforms.arguments.get("crop_size") if weights and weights.transforms else None
    return (side, side) if isinstance(side, int) else (side[0], side[1]) if side else image_size_of(model)


def in_channels_of(model: nn.Module) -> int:
    """Channels of the images that a model takes: its attribute, else those of its first convolution, else 3.

    Layers before the first convolution may change the number: a frequency transform turns 3 channels into 64.
    """
    said = getattr(model, "in_channels", None)
    if isinstance(said, int):
        return said
    first = next((m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d)), None)
    return first.in_channels if first is not None else 3


def task_of(model: nn.Module, task: str | None = None) -> TaskSpec:
    """The task of a model: the given one, else the main task of the name that it was requested by, or of its builder's
    model; each as defined by the plugin of that model.

    Raises:
        UnknownTask: no installed plugin has ``task``.
        InvalidArgument: no task is given, and no plugin's builder made the model.
    """
    builder = built_by(model) or ""
    if task is not None:
        known = registry.entry_built_by(builder)
        return registry.get_task(task) if known is None else registry.get_task(task, plugin=known.plugin.name)
    entry = registry.registry().entries.get(getattr(model, "_full_name", ""))
    if entry is not None and (builder or entry.spec.builder) == entry.spec.builder:
        return registry.get_task(entry.spec.tasks[0], plugin=entry.plugin.name)
    found = registry.task_built_by(builder)
    if found is None:
        raise InvalidArgument("Give the task of the model: task='image-classification', or another.")
    return found
