"""The decorator of this package's builders: ``quantize=`` beside what ``zoo.builder`` adds."""

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
        quantize: False for a float model that can be quantized; True for int8, on the CPU, by torch's own kernels;
            ``"reference"`` for int8 in ordinary arithmetic, on any device (see :mod:`zoo_quantized.reference`);
            ``"auto"`` for the kernels where torch has them, else, with a warning, ``"reference"``. Where it is not
            given, it is ``"auto"`` with int8 weights and False without.
        backend: what the int8 model is made for: ``"fbgemm"``, ``"x86"``, ``"onednn"`` or ``"qnnpack"``. Where the
            machine has it not, it runs on the nearest that there is. Published weights bring theirs.
        **kwargs: of the float model.

    With ``quantize=False`` the weights are those of the float model, otherwise int8 ones. Without weights an int8 model
    has random ones and is calibrated on noise. On the meta device, where nothing runs, models stay float.

    Raises:
        MissingEngine: ``quantize=True``, and this torch has no kernels for it.
    """


def quantizable(
    float_weights: type[WeightsEnum],
    int8_weights: type[WeightsEnum],
    *,
    default_backend: str = "fbgemm",
    convert: Convert | None = None,
    **options: Any,
) -> Callable[[Callable[..., Q]], Callable[..., Q]]:
    """Make a function that builds a quantizable model into a builder that takes ``quantize=`` and ``weights=``.

    Args:
        float_weights: the enum of the weights for ``quantize=False``, int8_weights that of the others.
        default_backend: what an int8 model is made for where neither caller nor weights say so.
        convert: as in ``zoo.builder``, and likewise ``options``.
    """

    def choose(quantize: Any = None, **kwargs: Any) -> tuple[type[WeightsEnum], ...]:
        if quantize is None:  # not said
            return float_weights, int8_weights
        return (int8_weights,) if check_quantize(quantize) else (float_weights,)

    def convert_file(state: StateDict, model: nn.Module) -> StateDict:
        return to_fit(convert(state, model) if convert else state, model)

    def decorate(function: Callable[..., Q]) -> Callable[..., Q]:
        def build(*, quantize: How = False, backend: str = default_backend, **kwargs: Any) -> Q:
            if quantize == "reference":  # in which there is nothing that only training needs
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
    """The float ``model`` as ``quantize`` says; without numbers where its parameters have none yet."""
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
                f"torch {torch.__version__} cannot run int8 models here: this one runs as with quantize='reference', "
                "the same but slower. Say so yourself to silence this.",
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
    """A file's content in the form that ``model`` takes.

    Raises:
        CheckpointError: it is of an int8 model and this is a float one, or the other way round; or it has another
            number of classes, for which an int8 model can have no new head.
    """
    form = states.form(state)
    if not isinstance(model, Quantizable) or model.engine is None:
        if form != "float":
            raise CheckpointError(
                "The file holds an int8 model, and this one was built with quantize=False. Pass quantize=True, or "
                "quantize='reference' to run it without int8 kernels."
            )
        return state
    if form == "float":
        raise CheckpointError(
            "The file holds a float model. Load it with quantize=False, and quantize the model: "
            "zoo_quantized.quantize(model, calibration_batches)."
        )
    if form == "observed":
        state = states.from_observed(state, model.norm_eps, eager.LARGEST[model.backend])
    elif form == "packed":
        state = states.unpack(state)
    _check_shapes(state, model)
    return reference.fit(state, model) if model.engine == "reference" else states.pack(state, model.state_dict())


def _check_shapes(plain: StateDict, model: Quantizable) -> None:
    """Raise where a layer has other numbers of channels: integers can be neither drawn anew nor adapted."""
    own = model.state_dict() if model.engine == "reference" else states.unpack(model.state_dict())
    for name in own:
        if name.endswith(".weight") and name in plain and plain[name].shape != own[name].shape:
            raise CheckpointError(
                f"{name} is {list(plain[name].shape)} in the file and {list(own[name].shape)} in the model. An int8 "
                "model can get neither a new head nor other input channels: build it with the file's num_classes and "
                "in_channels, or train a float one (quantize=False) and use zoo_quantized.quantize."
            )
