"""Weights described in torchvision's form: a URL, a transform and ``meta``. No torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from zoo import contract
from zoo.contract import WeightsEnum
from zoo.registry import get_model_builder, get_model_weights, list_models

__all__ = ["Weights", "WeightsEnum"]

# torchvision's key in ``meta`` → the field of zoo.Weights; other keys are further facts.
FIELDS = {
    "_metrics": "metrics",
    "_ops": "gflops",
    "_file_size": "file_size",
    "_docs": "docs",
    **{name: name for name in ("num_params", "categories", "recipe", "license", "min_size")},
}


class _Kind(type):
    def __instancecheck__(cls, given: object) -> bool:
        return isinstance(given, contract.Weights)


class Weights(contract.Weights, metaclass=_Kind):
    """:class:`zoo.Weights` from torchvision's arguments.

    Args:
        url: of the checkpoint.
        transforms: called without arguments, returns the preprocessing.
        meta: facts under torchvision's keys; returned by the property of that name.
        **facts: fields of :class:`zoo.Weights`.
    """

    __slots__ = ()

    def __init__(self, url: str, transforms: Any = None, meta: Mapping[str, Any] | None = None, **facts: Any) -> None:
        known = {FIELDS[key]: value for key, value in (meta or {}).items() if key in FIELDS}
        extra = {key: value for key, value in (meta or {}).items() if key not in FIELDS}
        super().__init__(url=url, transforms=transforms, **{"extra": extra, **known, **facts})


# Lists that torchvision keeps in a separate module → a model whose weights have them.
LISTS = {
    "_IMAGENET_CATEGORIES": "resnet18",
    "_VOC_CATEGORIES": "fcn_resnet50",
    "_COCO_CATEGORIES": "fasterrcnn_resnet50_fpn",
    "_COCO_PERSON_CATEGORIES": "keypointrcnn_resnet50_fpn",
    "_COCO_PERSON_KEYPOINT_NAMES": "keypointrcnn_resnet50_fpn",
    "_KINETICS400_CATEGORIES": "r3d_18",
}


def _get_enum_from_fn(fn: Callable[..., Any]) -> type[WeightsEnum]:
    """The weights of a builder."""
    return get_model_weights(fn)


@functools.cache
def _builders() -> dict[str, Callable[..., Any]]:
    return {model: get_model_builder(model) for model in list_models()}


def __getattr__(name: str) -> Any:
    if name == "BUILTIN_MODELS":
        return _builders()
    if name not in LISTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    meta = next(iter(get_model_weights(LISTS[name]))).meta
    return list(meta["keypoint_names" if name.endswith("KEYPOINT_NAMES") else "categories"])
