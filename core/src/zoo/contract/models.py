"""A model as its plugin describes it, and the attributes that zoo reads from a built model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from zoo.contract.enums import LazyEnum, WeightsEnum
from zoo.contract.weights import Weights


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that a plugin offers.

    Attributes:
        name: as users type it; its full name is ``plugin/name``.
        builder: import string of the builder; imported only when a model is built.
        task: name of the task, or several names, the main task first.
        weights: the enum of its weights, if any are published, or the value of :meth:`zoo.contract.Catalogue.weights`,
            from which the enum is made on access.
        num_params: number of parameters; by default that of the ``DEFAULT`` weights.
        paper: title and link of the paper.
        family: name of the group in which it is tested and listed; by default the module of the builder.
        capture: whether ``torch.compile`` and ``torch.export`` work on it.
        input: facts about the input, e.g. ``{"num_frames": 16}``, if the model has requirements.
    """

    name: str
    builder: str
    task: str | tuple[str, ...] = field(kw_only=True)
    weights: type[WeightsEnum] | None = field(default=None, kw_only=True)
    num_params: int | None = field(default=None, kw_only=True)
    paper: str | None = field(default=None, kw_only=True)
    family: str | None = field(default=None, kw_only=True)
    capture: bool = field(default=True, kw_only=True)
    input: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @property
    def tasks(self) -> tuple[str, ...]:
        return (self.task,) if isinstance(self.task, str) else tuple(self.task)

    @property
    def weights_name(self) -> str | None:
        """The name of the enum of its weights, found without making the enum; None for a model without weights."""
        enum = stored_weights(self)
        return enum.name if isinstance(enum, LazyEnum) else getattr(enum, "__name__", None)

    @property
    def default_weights(self) -> Weights | None:
        """The ``DEFAULT`` weights, else the first, else None."""
        members = self.weights.__members__ if self.weights else {}
        chosen = members.get("DEFAULT") or next(iter(members.values()), None)
        return chosen.value if chosen else None

    @property
    def parameters(self) -> int | None:
        if self.num_params is not None:
            return self.num_params
        default = self.default_weights
        return default.num_params if default else None


_slot: Any = ModelSpec.__dict__["weights"]


def stored_weights(spec: ModelSpec) -> type[WeightsEnum] | LazyEnum | None:
    """The ``weights`` that ``spec`` was given: a :class:`LazyEnum` if the enum has not been made."""
    if type(spec) is not ModelSpec:  # a plugin's own class may override it
        return spec.weights
    found: type[WeightsEnum] | LazyEnum | None = _slot.__get__(spec, ModelSpec)
    return found


def _weights(spec: ModelSpec) -> type[WeightsEnum] | None:
    found = _slot.__get__(spec, ModelSpec)
    return found.enum() if isinstance(found, LazyEnum) else found


# A property over the dataclass's slot, so that every access returns the same enum.
ModelSpec.weights = property(_weights, _slot.__set__)  # type: ignore[assignment,misc]


@dataclass(frozen=True)
class Stage:
    """A place in a model where features of one resolution are available, as ``zoo.feature_info`` lists it.

    Attributes:
        path: path of the submodule that outputs them, as in ``model.get_submodule(path)``. Empty if they are not the
            output of a submodule: then ``model.forward_intermediates(images, indices=[index in feature_info, …],
            output_fmt="NCHW", intermediates_only=True)`` returns a list of the maps, as timm's models do.
        channels: number of channels.
        stride: input pixels per feature cell.
        layout: order of the output's dimensions: ``NCHW``, ``NHWC`` or ``NLC`` (a sequence of patches); empty if the
            output's shape shows it.
    """

    path: str
    channels: int
    stride: int
    layout: str = "NCHW"


class Model(Protocol):
    """The optional attributes of a built model, which is a ``torch.nn.Module``.

    Attributes:
        feature_info: places of features, for ``zoo.feature_info`` and ``zoo.backbone``.
        image_size: (height, width) of its input images, or one number for both, if it takes only one size.
        num_frames: number of frames of its input clips, if it takes only one number.
        in_channels: number of channels of its input.
        devices: types of the devices that it can run on; None for all.
        compute_parts: paths of submodules that take and return tensors (or lists, tuples and dicts of them) and do
            nearly all of the computation. An engine or half precision is applied only to them if the rest depends on
            values or needs full precision, as the boxes of a detector do. By default the whole model.

    A builder also stores on it what :func:`zoo.load_report` and :func:`zoo.loading.loaded_weights` return.
    """

    feature_info: Sequence[Stage]
    image_size: int | tuple[int, int]
    num_frames: int
    in_channels: int
    devices: tuple[str, ...] | None
    compute_parts: Sequence[str]

    def comparable(self, *inputs: Any) -> Any:
        """Intermediate outputs for ``zoo.optimize`` to compare, if the outputs themselves are discontinuous, as a
        detector's are: it finds one more object as soon as a score is just above the threshold."""

    def prepare_qat(self) -> None:
        """Simulate the rounding of the int8 model from now on, in place; parameters stay the same objects.
        ``zoo.train(qat=True)`` calls it before the first step."""

    def to_int8(self) -> Any:
        """The int8 model of a prepared and trained model, as a copy; ``zoo.save`` must be able to save it."""
