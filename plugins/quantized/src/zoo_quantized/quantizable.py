"""The mixin for quantizable models, and the analysis of which scale each layer's input has."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from zoo.errors import InvalidArgument
from zoo.nn import check_images
from zoo_quantized import eager
from zoo_quantized.marks import Arithmetic, Dequantize, Quantize

SIDE = 96  # side of the images used to trace a model; all families accept it


class Quantizable(nn.Module):
    """Mixin for a float classification model, listed before it: ``class QuantizableResNet(Quantizable, ResNet)``.

    Attributes:
        engine: None in a float model; ``"fbgemm"`` or another of torch's engines in an int8 model; ``"reference"`` in a
            reference model.
        runs_on: the engine that computes an int8 model, if it differs: a faster one that takes the same integers.
        backend: engine that an int8 model was made for, independent of the engine that runs it.
        norm_eps: eps of the model's former batch norms, which files of quantization-aware training still contain.
    """

    engine: str | None = None
    runs_on: str | None = None
    backend: str = "fbgemm"
    norm_eps: float = 1e-5
    in_channels: int | None  # set by the float model

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quant = Quantize()
        self.dequant = Dequantize()

    def forward(self, x: Tensor) -> Any:
        check_images(x, self.in_channels)
        return self.between(super().forward, x)

    def between(self, body: Callable[[Tensor], Any], x: Tensor) -> Any:
        """Quantize ``x``, call ``body`` and dequantize the result, on the model's engine."""
        if self.devices is None:
            return self.dequant(body(self.quant(x)))
        if not len(x):  # torch's kernels crash on empty batches
            return tree_map(lambda y: y[:0], self.between(body, x.new_zeros(1, *x.shape[1:])))
        with eager.using(self.runs_on or self.engine):
            return self.dequant(body(self.quant(x)))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        if self.devices is None:
            return super().load_state_dict(state_dict, *args, **kwargs)
        with eager.using(self.runs_on or self.engine), eager.quiet():  # weights are packed for the current engine
            if not hasattr(state_dict, "_metadata"):  # otherwise torch assumes version 1
                state_dict = OrderedDict(state_dict)
                state_dict._metadata = self.state_dict()._metadata  # type: ignore[attr-defined]
            return super().load_state_dict(state_dict, *args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Called for copies and pickles: the weights were packed for the current engine."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.devices is None:
            return
        for module in self.modules():  # torch's int8 modules lack standard attributes of modules
            for name, value in (nn.Module().__dict__ | {"training": self.training}).items():
                module.__dict__.setdefault(name, value)
        self.load_state_dict(self.state_dict())

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Fuse convolution, batch norm and ReLU, in place, for ``torch.ao.quantization.prepare`` or ``prepare_qat``.

        :func:`zoo_quantized.quantize` does this and the following steps; call it only to do these steps yourself.

        Args:
            is_qat: fuse for quantization-aware training, where batch norm is still trained; by default in train mode.

        Raises:
            InvalidArgument: the model is already quantized.
            MissingEngine: this torch no longer has ``torch.ao``.
        """
        if self.engine is not None:
            raise InvalidArgument(
                "The model is already quantized; fuse_model() expects a model built with quantize=False."
            )
        eager.fuse(self, self.training if is_qat is None else is_qat)

    def prepare_qat(self) -> None:
        """Enable fake quantization, in place, so that training compensates for the rounding: see
        :mod:`zoo_quantized.training`. ``zoo.train(…, qat=True)`` calls this before the first step."""
        _training().prepare(self)

    def to_int8(self) -> Quantizable:
        """An int8 copy of this model, after :meth:`prepare_qat` and training."""
        int8: Quantizable = _training().converted(self)
        return int8

    @property
    def devices(self) -> tuple[str, ...] | None:
        """The types of device that the model can run on; None for all."""
        return None if self.engine in (None, "reference") else ("cpu",)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        if self.devices is not None and (wanted := fn(torch.zeros(0)).device.type) not in self.devices:
            raise InvalidArgument(
                f"An int8 model runs on the CPU, not on {wanted}: torch has int8 kernels only there. Build it with "
                "quantize='reference' to run it on any device."
            )
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


def _training() -> Any:
    """The training module, which imports this one; imported when a model is trained."""
    return importlib.import_module("zoo_quantized.training")


class Fusible(nn.Module):
    """Mixin for a block of a quantizable model, for programs that fuse block by block."""

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """:meth:`Quantizable.fuse_model` for this block only."""
        eager.fuse(self, self.training if is_qat is None else is_qat)


PRODUCERS = (Quantize, Arithmetic, nn.Conv2d, nn.Linear, nn.Hardswish, nn.Hardsigmoid)


def sources(model: Quantizable) -> dict[str, str]:
    """Path of each convolution and linear layer → path of the module that defines its input's scale.

    A float model is run on the meta device. Outputs of a module with a scale are marked with its path; pooling, slicing
    and similar operations keep the mark.

    Raises:
        InvalidArgument: the forward pass does not reach a layer, or its input comes from several modules.
    """
    found: dict[str, str] = {}
    layers = {path: m for path, m in model.named_modules() if isinstance(m, PRODUCERS)}

    def note(path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            if (source := getattr(args[0], "_source", None)) is not None:
                found[path] = source

        return hook

    def mark(path: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            output._source = path  # type: ignore[attr-defined]

        return hook

    handles = [m.register_forward_hook(mark(path)) for path, m in layers.items()]
    consumers = {path: m for path, m in layers.items() if isinstance(m, nn.Conv2d | nn.Linear)}
    handles += [m.register_forward_pre_hook(note(path)) for path, m in consumers.items()]
    training = model.training
    try:
        state = {name: t.to("meta") for name, t in (*model.named_parameters(), *model.named_buffers())}
        images = torch.empty(1, model.in_channels or 3, SIDE, SIDE, device="meta")
        with torch.no_grad(), _Marks():
            functional_call(model.eval(), state, (images,))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    if lost := sorted(consumers.keys() - found.keys()):
        raise InvalidArgument(
            f"{len(lost)} layers are not reached in eval mode, or not with quantized input: {', '.join(lost[:4])}. "
            "Pass aux_logits=False to omit auxiliary heads."
        )
    return found


class _Marks(TorchFunctionMode):
    """Copies the mark of a function's inputs to its outputs, if the inputs have the same mark."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        marks = {x._source for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and hasattr(x, "_source")}
        for y in tree_leaves(output) if len(marks) == 1 else ():
            if isinstance(y, Tensor):
                y._source = next(iter(marks))  # type: ignore[attr-defined]
        return output
