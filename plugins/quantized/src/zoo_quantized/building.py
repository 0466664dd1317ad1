"""The decorator of this package's builders: adds ``quantize=`` to the arguments of ``zoo.builder``."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import nn

import zoo
from zoo import WeightsEnum
from zoo.errors import CheckpointError, InvalidArgument, WeightsWarning
from zoo.loading import Convert, StateDict
from zoo_quantized import eager, reference, states
from zoo_quantized.quantizable import SIDE, Quantizable

Q = TypeVar("Q", bound=Quantizable)
How = bool | Literal["reference", "auto"]

DOCUMENTATION = """

    Args:
        quantize: False for a float model that can be quantized; True for int8, on the CPU, with torch's kernels;
            ``"reference"`` for int8 in ordinary arithmetic, on any device (see :mod:`zoo_quantized.reference`);
            ``"auto"`` for True if torch has the kernels, otherwise ``"reference"``, with a warning. By default it is
            ``"auto"`` with int8 weights and False without.
        backend: engine that the int8 model is made for: ``"fbgemm"``, ``"x86"``, ``"onednn"`` or ``"qnnpack"``. If the
            machine lacks it, the model runs on the closest available one. Published weights define theirs.
        **kwargs: arguments of the float model.

    With ``quantize=False`` the weights are those of the float model, otherwise int8 ones. Without weights an int8 model
    has random weights and is calibrated on noise. On the meta device models stay float.

    Raises:
        MissingEngine: ``quantize=True``, but this torch has no int8 kernels.
    """


def quantizable(
    float_weights: type[WeightsEnum],
    int8_weights: type[WeightsEnum],
    *,
    default_backend: str = "fbgemm",
    convert: Convert | None = None,
    **options: Any,
) -> Callable[[Callable[..., Q]], Callable[..., Q]]:
    """Turn a function that builds a quantizable model into a builder that takes ``quantize=`` and ``weights=``.

    Args:
        float_weights: enum of the weights for ``quantize=False``; ``int8_weights``: enum for the other values.
        default_backend: the backend if neither the caller nor the weights define it.
        convert, options: as in ``zoo.builder``.
    """

    def choose(quantize: Any = None, **kwargs: Any) -> tuple[type[WeightsEnum], ...]:
        if quantize is None:  # not given
            return float_weights, int8_weights
        return (int8_weights,) if check_quantize(quantize) else (float_weights,)

    def convert_file(state: StateDict, model: nn.Module) -> StateDict:
        return to_fit(convert(state, model) if convert else state, model)

    def decorate(function: Callable[..., Q]) -> Callable[..., Q]:
        def build(*, quantize: How = False, backend: str = default_backend, **kwargs: Any) -> Q:
            if quantize == "reference":  # it has no parts that only training needs
                kwargs = {**options.get("when_loading", {}), **kwargs}
            return as_asked(function(**kwargs), quantize, backend)

        functools.update_wrapper(build, function)
        del build.__wrapped__  # type: ignore[attr-defined]  # its own signature counts
        build.__doc__ = (function.__doc__ or "").rstrip() + DOCUMENTATION
        made = zoo.builder(choose, convert=convert_file, **options)(build)
        made.weights_enum = int8_weights  # type: ignore[attr-defined]
        return made

    return decorate


def check_quantize(quantize: object) -> object:
    if not isinstance(quantize, bool) and quantize not in ("reference", "auto"):
        raise InvalidArgument(f"quantize is {quantize!r}; expected False, True, 'reference' or 'auto'.")
    return quantize


def as_asked(model: Q, quantize: How, backend: str) -> Q:
    """Convert the float ``model`` as ``quantize`` requests; without values if its parameters are on meta."""
    check_quantize(quantize)
    model.backend = eager.check_backend(backend)
    if not quantize or torch.empty(0).is_meta:
        return model
    model.norm_eps = next((m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)), model.norm_eps)
    to_be_loaded = any(p.is_meta for p in model.parameters())
    if quantize == "auto":
        quantize = eager.is_there(backend) or "reference"
        if quantize == "reference":
            warnings.warn(
                f"torch {torch.__version__} cannot run int8 models here: this one runs with quantize='reference', "
                "which is equal but slower. Pass quantize='reference' to silence this.",
                WeightsWarning,
                stacklevel=2,
            )
    if quantize == "reference":
        return reference.skeleton(model) if to_be_loaded else reference.calibrated(model.eval(), [_noise(model)])
    return eager.skeleton(model, backend) if to_be_loaded else eager.calibrated(model.eval(), [_noise(model)], backend)


def _noise(model: Quantizable) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, model.in_channels or 3, SIDE, SIDE, generator=generator)


def to_fit(state: StateDict, model: nn.Module) -> StateDict:
    """Convert a file's content to the form that ``model`` takes.

    Raises:
        CheckpointError: the file is of an int8 model and this is a float one, or vice versa; or it has another number
            of classes, because an int8 model cannot get a new head.
    """
    form = states.form(state)
    if not isinstance(model, Quantizable) or model.engine is None:
        if form != "float":
            raise CheckpointError(
                "The file contains an int8 model, but this one was built with quantize=False. Pass quantize=True, or "
                "quantize='reference' to run it without int8 kernels."
            )
        return state
    if form == "float":
        raise CheckpointError(
            "The file contains a float model. Load it with quantize=False, then quantize the model: "
            "zoo_quantized.quantize(model, calibration_batches)."
        )
    if form == "observed":
        state = states.from_observed(state, model.norm_eps, eager.LARGEST[model.backend])
    elif form == "packed":
        state = states.unpack(state)
    _check_shapes(state, model)
    return reference.fit(state, model) if model.engine == "reference" else states.pack(state, model.state_dict())


def _check_shapes(plain: StateDict, model: Quantizable) -> None:
    """Raise if a layer has other numbers of channels: int8 weights cannot be initialised or adapted."""
    own = model.state_dict() if model.engine == "reference" else states.unpack(model.state_dict())
    for name in own:
        if name.endswith(".weight") and name in plain and plain[name].shape != own[name].shape:
            raise CheckpointError(
                f"{name} is {list(plain[name].shape)} in the file, but {list(own[name].shape)} in the model. An int8 "
                "model cannot get a new head or other input channels: build it with the file's num_classes and "
                "in_channels, or train a float one (quantize=False) and use zoo_quantized.quantize."
            )
