"""A checkpoint and its preprocessing, described as plain data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.contract.imports import load_object

if TYPE_CHECKING:
    from torch import Tensor

Metrics = Mapping[str, Mapping[str, float]]
"""Data set name → metric name → value, e.g. ``{"ImageNet-1K": {"acc@1": 80.858, "acc@5": 95.434}}``."""


@functools.lru_cache(maxsize=64)
def _read_names(resource: str) -> tuple[str, ...]:
    with load_object("zoo.files:open_resource")(resource) as f:
        return tuple(f.read().decode().splitlines())


@functools.lru_cache(maxsize=64)
def _class_names(categories: str | tuple[str, ...], n: int) -> list[str]:
    names = _read_names(categories) if isinstance(categories, str) else categories
    return list(names) if len(names) == n else [f"class {i}" for i in range(n)]


@dataclass(frozen=True, slots=True)
class Preset:
    """A preprocessing that is built on demand: an import string and the arguments to call it with.

    >>> preset = Preset("zoo.transforms:ImageClassification", {"crop_size": 224})   # imports nothing
    >>> transform = preset()                                                        # builds the transform
    >>> transform = preset(crop_size=256)                                           # with another argument
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **overrides: Any) -> Callable[..., Any]:
        made: Callable[..., Any] = load_object(self.target)(**{**self.arguments, **overrides})
        return made

    def __hash__(self) -> int:
        return hash(self.target)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One checkpoint and all that is known about it. ``dataclasses.replace(w, url=…)`` describes your own.

    Attributes:
        url: ``https://…``, ``hf://org/repo/file@revision``, ``file:///…`` or ``pkg://package/path`` (a file inside
            an installed wheel), or a scheme that a plugin supports. If the name ends in ``-<hex>.<ext>``, the file's
            SHA-256 must begin with those digits, which is checked.
        transforms: builds the preprocessing that the weights were evaluated with.
        config: builder arguments that this checkpoint needs, such as ``num_classes`` or ``image_size``.
        num_params: number of parameters of the model.
        metrics: data set → metric → value; see :data:`Metrics`.
        gflops: billions of multiply-adds of one forward pass at the evaluation size.
        ops_unit: the unit of ``gflops``, shown in the heading of ``zoo table``; ``"GIPS"`` for integer operations.
        file_size: size of the file in MB (2**20 bytes).
        categories: class names in label order, or a ``pkg://`` resource that lists one per line, read on access.
        recipe: link to a description of the training.
        license: name of or link to the licence of the weights; ``"unknown"`` if it is not published.
        sha256: SHA-256 of the file, all 64 hexadecimal digits, which is checked. Replace it together with ``url``.
        min_size: smallest (height, width) the model accepts.
        docs: a sentence on the origin of the weights.
        extra: further facts, shown in :attr:`meta` under their own keys (``keypoint_names``, ``backend``, …).
        unknown: fields that are not published, such as ``("metrics",)``: the conformance kit does not require them.
    """

    url: str
    transforms: Preset | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    num_params: int | None = None
    metrics: Metrics = field(default_factory=dict)
    gflops: float | None = None
    ops_unit: str = "GFLOPS"
    file_size: float | None = None
    categories: str | Sequence[str] | None = None
    recipe: str | None = None
    license: str = "unknown"
    sha256: str | None = None
    min_size: tuple[int, int] | None = None
    docs: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    def __hash__(self) -> int:  # equal weights have equal URLs; mappings cannot be hashed
        return hash(self.url)

    def read_categories(self) -> list[str]:
        """Class names in label order; an empty list if there are none."""
        if isinstance(self.categories, str):
            return list(_read_names(self.categories))
        return list(self.categories or ())

    def class_names(self, n: int) -> list[str]:
        """Names of ``n`` classes: the categories if there are ``n``, else ``class 0``, ``class 1``, ….

        Each call returns the same list, because every result refers to it.
        """
        return _class_names(self.categories if isinstance(self.categories, str) else tuple(self.categories or ()), n)

    @property
    def meta(self) -> dict[str, Any]:
        """The known facts under torchvision's keys."""
        known = {
            "num_params": self.num_params,
            "min_size": self.min_size,
            "categories": self.read_categories() or None,
            "recipe": self.recipe,
            "license": self.license,
            "_metrics": {data: dict(values) for data, values in self.metrics.items()},
            "_ops": self.gflops,
            "_file_size": self.file_size,
            "_docs": self.docs,
            **self.extra,
        }
        return {key: value for key, value in known.items() if value is not None or key in self.extra}

    def get_state_dict(self, progress: bool = True, check_hash: bool = True) -> dict[str, Tensor]:
        """Download the file if necessary and read it: name → tensor, as saved.

        Args:
            progress: show a progress bar while downloading.
            check_hash: check the file against the digest in its name. ``False`` is accepted for code written for
                torchvision but has no effect: a file that does not match its name is never loaded.
        """
        read: Callable[..., dict[str, Tensor]] = load_object("zoo.loading:read_checkpoint")
        return read(self.url, progress=progress, sha256=self.sha256, license=self.license)
