"""A model as its plugin describes it, and what zoo asks of a built one."""

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
        task: the task's name, or several, the main one first.
        weights: the enum of its weights, if any are published; or what :meth:`zoo.contract.Catalogue.weights` gives
            for it, which is made into the enum when this is asked for.
        num_params: number of parameters; by default that of the ``DEFAULT`` weights.
        paper: title and link of the paper.
        family: the models it is tested and listed with; by default the module that holds the builder.
        capture: whether ``torch.compile`` and ``torch.export`` work on it.
        input: facts about the input, e.g. ``{"num_frames": 16}``, where the model is particular.
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
        """The name of the enum of its weights, which is not made for it; None without weights."""
        enum = stored_weights(self)
        return enum.name if isinstance(enum, LazyEnum) else getattr(enum, "__name__", None)

    @property
    def default_weights(self) -> Weights | None:
        """The ``DEFAULT`` entry, else the first, else None."""
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
    """What ``spec`` was given as ``weights``: a :class:`LazyEnum` where the enum is yet to be made."""
    if type(spec) is not ModelSpec:  # a plugin's own class, which may say otherwise
        return spec.weights
    found: type[WeightsEnum] | LazyEnum | None = _slot.__get__(spec, ModelSpec)
    return found


def _weights(spec: ModelSpec) -> type[WeightsEnum] | None:
    found = _slot.__get__(spec, ModelSpec)
    return found.enum() if isinstance(found, LazyEnum) else found


# Where the dataclass keeps the field: read through, so that all who ask for the enum get one.
ModelSpec.weights = property(_weights, _slot.__set__)  # type: ignore[assignment,misc]


@dataclass(frozen=True)
class Stage:
    """A place in a model where features of one resolution can be read off: what ``zoo.feature_info`` lists.

    Attributes:
        path: of the submodule whose output they are, as in ``model.get_submodule(path)``. Empty where they are no
            submodule's: then ``model.forward_intermediates(images, indices=[place in feature_info, …],
            output_fmt="NCHW", intermediates_only=True)`` returns a list of the maps, as timm's models do.
        channels: number of channels.
        stride: input pixels per feature cell.
        layout: order of the output's dimensions: ``NCHW``, ``NHWC`` or ``NLC`` (a sequence of patches); empty where it
            is told by the output itself.
    """

    path: str
    channels: int
    stride: int
    layout: str = "NCHW"


class Model(Protocol):
    """What zoo asks of a built model beside being a ``torch.nn.Module``. All of it may be missing.

    Attributes:
        feature_info: where features can be read off, for ``zoo.feature_info`` and ``zoo.backbone``.
        image_size: (height, width) of the images that it takes, or one number for both, where it takes one size only.
        num_frames: of the clips that it takes, where it takes one number only.
        in_channels: of its input.
        devices: types of the devices that it can run on; None for all.
        compute_parts: paths of submodules that take and return tensors (or lists, tuples and dicts of them) and in
            which nearly all is computed. An engine, or half precision, is given them alone where the rest depends on
            values or needs the digits, as the boxes of a detector do. By default the whole model.

    A builder also leaves on it what :func:`zoo.load_report` and :func:`zoo.loading.loaded_weights` return.
    """

    feature_info: Sequence[Stage]
    image_size: int | tuple[int, int]
    num_frames: int
    in_channels: int
    devices: tuple[str, ...] | None
    compute_parts: Sequence[str]

    def comparable(self, *inputs: Any) -> Any:
        """What the outputs are made of, where outputs jump however little changes, as those of a detector do, which
        finds one object more when a score is a hair above the threshold. ``zoo.optimize`` compares it."""

    def prepare_qat(self) -> None:
        """Round from now on as the int8 model will, in place, parameters staying the same objects:
        ``zoo.train(qat=True)`` calls it before the first step."""

    def to_int8(self) -> Any:
        """The int8 model, a copy, of one that was prepared and trained; ``zoo.save`` must keep it."""
