"""The models to check and their inputs: one tiny model at a time, with an example input."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import registry
from zoo.contract import ModelSpec, Task, TaskSpec, Weights
from zoo.errors import InvalidArgument, UnknownTask
from zoo.registry import provided
from zoo.running.tasks import make_task, noise
from zoo.testing.outcomes import Skip
from zoo.transforms.functional import pil_to_tensor

SIDE = 64  # of example images, in pixels, if the model accepts such a size
FRAMES = 16  # of a video


class Kit(Protocol):
    """The settings of a plugin's author for its models: see ``zoo.testing.Conformance``."""

    @property
    def plugin(self) -> str: ...
    @property
    def tiny(self) -> Mapping[str, Mapping[str, Any]]: ...
    def example(self, name: str) -> tuple[Any, ...]: ...
    def train_example(self, name: str) -> tuple[Any, ...]: ...
    def sample(self, name: str) -> Any: ...


class Bench:
    """A model to check, and the objects that its checks share: its builder, a tiny instance, an input."""

    def __init__(self, kit: Kit, spec: ModelSpec) -> None:
        self.kit = kit
        self.spec = spec
        self.tiny = dict(kit.tiny.get(spec.name, {}))

    @functools.cached_property
    def builder(self) -> Any:
        return registry.get_model_builder(f"{self.kit.plugin}/{self.spec.name}")

    def takes(self, argument: str) -> bool:
        return argument in inspect.signature(self.builder).parameters

    def build(self, seed: int = 0, **arguments: Any) -> nn.Module:
        """The model, random unless ``weights`` are among the arguments; nothing is downloaded."""
        nothing = {name: None for name in ("weights", "weights_backbone") if self.takes(name)}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model: nn.Module = self.builder(**{**nothing, **arguments})
        return model.eval()

    def build_on_meta(self, **arguments: Any) -> nn.Module:
        with torch.device("meta"):
            return self.build(**arguments)

    @functools.cached_property
    def _model(self) -> nn.Module:
        return self.build(**self.tiny)

    @property
    def model(self) -> nn.Module:
        """The tiny model, set to eval mode."""
        return self._model.eval()

    @functools.cached_property
    def inputs(self) -> tuple[Any, ...]:
        return self.kit.example(self.spec.name)

    @property
    def task(self) -> TaskSpec:
        """The main task, if a plugin defines it; the check ``metadata`` reports if none does."""
        try:
            return registry.get_task(self.spec.tasks[0], plugin=self.kit.plugin)
        except UnknownTask as e:
            raise Skip(str(e)) from e

    @functools.cached_property
    def steps(self) -> Task:
        """The task's object, with the defaults of its options."""
        return make_task(self.task, {})

    @property
    def classifies(self) -> bool:
        """Whether the task's metric is accuracy: then there is one logit per class."""
        return any(metric.key == "acc@1" for metric in self.task.metrics)


def sample(bench: Bench) -> Any:
    """What :meth:`Conformance.sample` promises."""
    picture = Image.linear_gradient("L").resize((96, 80)).convert("RGB").rotate(30)
    if bench.task.input_ndim == 4:
        return pil_to_tensor(picture).expand(FRAMES, -1, -1, -1)
    n = bench.task.inputs_per_sample
    return picture if n == 1 else (picture,) * n


def example(bench: Bench, side: int = SIDE) -> tuple[Any, ...]:
    """What :meth:`Conformance.example` promises."""
    if (shape := bench.spec.input.get("shape")) is not None:
        return (noise(2, *shape),)
    one = bench.steps.example(bench.model, bench.spec.default_weights, side)
    return tuple(_twice(argument) for argument in one)


def _twice(argument: Any) -> Any:
    """A batch of an input and its mirror image."""
    if isinstance(argument, Tensor):
        return torch.cat([argument, argument.flip(-1)])
    return [*argument, *(one.flip(-1) for one in argument)] if isinstance(argument, list) else argument


def train_example(bench: Bench) -> tuple[Any, ...]:
    """What :meth:`Conformance.train_example` promises."""
    size = bench.spec.input.get("train_size")
    given = bench.kit.example(bench.spec.name) if size is None else example(bench, size)
    make = provided(bench.task, "train")
    return given if make is None else make().with_targets(bench.model, given)


def prepare(bench: Bench, weights: Weights) -> tuple[Any, Any]:
    """A sample, opened and prepared as in ``zoo.pipeline``."""
    loaded = bench.steps.load(bench.kit.sample(bench.spec.name))
    try:
        return loaded, bench.steps.transform(weights)(loaded)
    except InvalidArgument as e:
        if weights.transforms is not None:
            raise
        raise Skip(str(e)) from e
