"""Models to check and what they are given: one of each at a time, tiny, with an example of its input."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from zoo import registry
from zoo.contract import ModelSpec, TaskSpec, Weights, load_object
from zoo.errors import UnknownTask
from zoo.testing.outcomes import Skip
from zoo.transforms.functional import pil_to_tensor

SIDE = 64  # of the images that a model is given, in pixels, where it accepts them so small
FRAMES = 16  # of a video
IMAGE_BATCH = ("image-classification", "semantic-segmentation")  # tasks whose models take [N, 3, H, W]
VIDEO = "video-classification"  # [N, 3, T, H, W]
DETECTION = ("object-detection", "instance-segmentation", "keypoint-detection")  # in train mode, targets too


class Kit(Protocol):
    """What a plugin's author says of its models: see ``zoo.testing.Conformance``."""

    @property
    def plugin(self) -> str: ...
    @property
    def tiny(self) -> Mapping[str, Mapping[str, Any]]: ...
    def example(self, name: str) -> tuple[Any, ...]: ...
    def train_example(self, name: str) -> tuple[Any, ...]: ...
    def sample(self, name: str) -> Any: ...


class Bench:
    """A model to check, and what the checks share: its builder, one tiny copy of it, an input."""

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
        """The tiny model, in eval mode whatever the last check did."""
        return self._model.eval()

    @functools.cached_property
    def inputs(self) -> tuple[Any, ...]:
        return self.kit.example(self.spec.name)

    @property
    def task(self) -> TaskSpec:
        """The main one, where it is described: that it must be is the check ``metadata``'s affair."""
        try:
            return registry.get_task(self.spec.tasks[0], plugin=self.kit.plugin)
        except UnknownTask as e:
            raise Skip(str(e)) from e

    @property
    def classifies(self) -> bool:
        return self.spec.tasks[0].endswith("-classification")


def sample(bench: Bench) -> Any:
    """What :meth:`Conformance.sample` promises."""
    picture = Image.linear_gradient("L").resize((96, 80)).convert("RGB").rotate(30)
    if VIDEO in bench.spec.tasks:
        return pil_to_tensor(picture).expand(FRAMES, -1, -1, -1)
    n = bench.task.inputs_per_sample
    return picture if n == 1 else (picture,) * n


def input_shape(spec: ModelSpec, side: int, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Of one input, [C, H, W], [C, T, H, W] or as the manifest says; None where it is no single tensor.

    Images are ``side`` pixels wide and high, or as large as the model needs that is built with ``arguments``.
    """
    if "shape" in spec.input:
        return tuple(spec.input["shape"])
    least = [max(w.value.min_size) for w in spec.weights or () if w.value.min_size]
    # The least demanding entry counts: the model is built without weights, and their config without effect.
    side = arguments.get("image_size", max([side, *sorted(least)[:1]]))
    if spec.tasks[0] in IMAGE_BATCH:
        return (3, side, side)
    frames = spec.input.get("num_frames")
    return (3, frames if isinstance(frames, int) else FRAMES, side, side) if spec.tasks[0] == VIDEO else None


def example(bench: Bench, side: int = SIDE) -> tuple[Any, ...]:
    """What :meth:`Conformance.example` promises."""
    if (shape := input_shape(bench.spec, side, bench.tiny)) is not None:
        return (torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)),)
    task, weights = bench.spec.tasks[0], bench.spec.default_weights
    if weights is None:
        raise Skip(f"override example(): what a model for {task} takes is not known, and without weights not to be had")
    prepared, collate = prepare(bench, weights), load_object(bench.task.collate)
    arguments: tuple[Any, ...] = collate([prepared, copy.deepcopy(prepared)])
    return arguments


def train_example(bench: Bench) -> tuple[Any, ...]:
    """What :meth:`Conformance.train_example` promises."""
    if "train_size" in bench.spec.input:
        return example(bench, bench.spec.input["train_size"])
    given = bench.kit.example(bench.spec.name)
    if bench.spec.tasks[0] in DETECTION:
        return (given[0], [_target(bench.spec, image) for image in given[0]])
    return given


def _target(spec: ModelSpec, image: Tensor) -> dict[str, Tensor]:
    """Two objects in an image [C, H, W], with all that a detector may want to know of them."""
    height, width = image.shape[-2:]
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.3, 0.2, 0.9, 0.9]]) * torch.tensor([width, height, width, height])
    target = {"boxes": boxes, "labels": torch.ones(2, dtype=torch.int64)}
    if "instance-segmentation" in spec.tasks:
        target["masks"] = torch.zeros(2, height, width, dtype=torch.uint8)
        for mask, box in zip(target["masks"], boxes.long().tolist(), strict=True):
            mask[box[1] : box[3], box[0] : box[2]] = 1
    if "keypoint-detection" in spec.tasks:
        n = (spec.default_weights.config if spec.default_weights else {}).get("num_keypoints", 17)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        target["keypoints"] = torch.cat([centres, torch.full((2, 1), 2.0)], 1)[:, None].repeat(1, n, 1)
    return target


def prepare(bench: Bench, weights: Weights) -> Any:
    """A sample opened and prepared as ``zoo.pipeline`` does it."""
    task = bench.task
    loaded = load_object(task.load)(bench.kit.sample(bench.spec.name))
    if task.transform is not None:
        return load_object(task.transform)(weights)(loaded)
    if weights.transforms is None:
        raise Skip("the weights name no transforms")
    return weights.transforms()(loaded)
