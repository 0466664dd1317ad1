"""Adapters for augmentations of other libraries: ``torchvision.transforms.v2`` and albumentations."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from zoo.errors import InvalidArgument, MissingPlugin
from zoo_training.augmentation.geometry import PER_OBJECT, Target, areas, size_of


@dataclass(frozen=True)
class FromTorchvision:
    """Wraps a transform of ``torchvision.transforms.v2``, which transforms boxes and masks with the picture.

    The generator determines its randomness. Keypoints and flow raise an error: v2 does not support them correctly.
    """

    transform: Callable[..., Any]

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        try:
            tv_tensors: Any = importlib.import_module("torchvision.tv_tensors")
        except ImportError as e:
            raise MissingPlugin("FromTorchvision needs torchvision: pip install torchvision") from e
        _refuse(target, "torchvision")
        wrapped = dict(target)
        if "boxes" in wrapped:
            size = size_of(example)
            wrapped["boxes"] = tv_tensors.BoundingBoxes(wrapped["boxes"], format="XYXY", canvas_size=size)
        for key in ("masks", "mask"):
            if key in wrapped:
                wrapped[key] = tv_tensors.Mask(wrapped[key])
        kind = tv_tensors.Video if example.ndim == 4 else tv_tensors.Image
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            example, new = self.transform(kind(example), wrapped)
        plain = {key: v.as_subclass(Tensor) if isinstance(v, Tensor) else v for key, v in new.items()}
        return example.as_subclass(Tensor), _without_empty(plain)


@dataclass(frozen=True)
class FromAlbumentations:
    """Wraps a transform of albumentations for pictures with labels, class maps, boxes or masks. Make a ``Compose`` for
    boxes with ``bbox_params=BboxParams("pascal_voc", label_fields=["indices"])``."""

    transform: Any

    def __call__(self, example: Any, target: Target, generator: Generator) -> tuple[Any, Target]:
        _refuse(target, "albumentations")
        if not hasattr(self.transform, "set_random_seed"):
            raise InvalidArgument(
                "The transform cannot be seeded; expected a Compose of albumentations 1.4.19 or later."
            )
        if "boxes" in target:
            self._check_boxes()
        self.transform.set_random_seed(int(torch.randint(2**31, (), generator=generator)))
        given: dict[str, Any] = {"image": example.permute(1, 2, 0).numpy()}
        if "mask" in target:
            given["mask"] = target["mask"].numpy().astype("int32")
        if "masks" in target and len(target["masks"]):
            given["masks"] = list(target["masks"].numpy())
        if "boxes" in target:
            height, width = size_of(example)  # albumentations raises for boxes outside the picture
            inside = target["boxes"].clamp(min=0).minimum(torch.tensor([width, height, width, height]))
            given |= {"bboxes": inside.numpy(), "indices": list(range(len(inside)))}
        out = self.transform(**given)
        new = dict(target)
        if "mask" in target:
            new["mask"] = torch.as_tensor(out["mask"]).long()
        if "boxes" in target:
            kept = torch.as_tensor([int(i) for i in out["indices"]], dtype=torch.int64)
            if "masks" in given:
                new["masks"] = torch.stack([torch.as_tensor(mask) for mask in out["masks"]])
            elif "masks" in target:
                new["masks"] = target["masks"].new_zeros(0, *out["image"].shape[:2])
            new = {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
            new["boxes"] = torch.as_tensor(out["bboxes"], dtype=torch.float32).reshape(-1, 4)
            new = _without_empty(new)
        return torch.as_tensor(out["image"]).permute(2, 0, 1).contiguous(), new

    def _check_boxes(self) -> None:
        """Without box parameters, albumentations would not transform boxes, or would misread their format."""
        boxes = getattr(self.transform, "processors", {}).get("bboxes")
        fields = getattr(boxes and boxes.params, "label_fields", None) or ()
        if boxes is None or boxes.params.format != "pascal_voc" or "indices" not in fields:
            raise InvalidArgument(
                "The transform does not support boxes in pixels; expected a Compose with "
                'bbox_params=BboxParams("pascal_voc", label_fields=["indices"]).'
            )


def _refuse(target: Target, whose: str) -> None:
    if wrong := [key for key in ("keypoints", "flow") if key in target]:
        raise InvalidArgument(f"transforms of {whose} do not support {wrong[0]}; use those of zoo_training.")


def _without_empty(target: Target) -> Target:
    """Remove objects whose box was removed, and recompute areas."""
    if "boxes" not in target:
        return target
    left = target["masks"].flatten(1).sum(1).float() if "masks" in target else areas(target["boxes"])
    kept = (areas(target["boxes"]) > 0) & (left > 0)
    new = {**target, "area": left}
    return {key: value[kept] if key in PER_OBJECT else value for key, value in new.items()}
