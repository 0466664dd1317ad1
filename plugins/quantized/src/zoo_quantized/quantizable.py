"""What makes a float model quantizable, and knowledge of which scale each layer's input has."""

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

SIDE = 96  # of the images that are sent through a model to see what follows what; all families accept it


class Quantizable(nn.Module):
    """Mixed into a float classification model, before it: ``class QuantizableResNet(Quantizable, ResNet)``.

    Attributes:
        engine: None in a float model; ``"fbgemm"`` or another of torch's engines in an int8 model, ``"reference"`` in
            one that runs anywhere.
        runs_on: the engine that computes an int8 model, where that is another: the fastest that takes the same
            integers.
        backend: what an int8 model was made for, whichever engine runs it.
        norm_eps: of the batch norms that the model had; files of quantization-aware training still have them.
    """

    engine: str | None = None
    runs_on: str | None = None
    backend: str = "fbgemm"
    norm_eps: float = 1e-5
    in_channels: int | None  # the float model's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quant = Quantize()
        self.dequant = Dequantize()

    def forward(self, x: Tensor) -> Any:
        check_images(x, self.in_channels)
        return self.between(super().forward, x)

    def between(self, body: Callable[[Tensor], Any], x: Tensor) -> Any:
        """``body`` of ``x``, quantized before and dequantized afterwards, on the model's engine."""
        if self.devices is None:
            return self.dequant(body(self.quant(x)))
        if not len(x):  # on which torch's kernels end the process
            return tree_map(lambda y: y[:0], self.between(body, x.new_zeros(1, *x.shape[1:])))
        with eager.using(self.runs_on or self.engine):
            return self.dequant(body(self.quant(x)))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        if self.devices is None:
            return super().load_state_dict(state_dict, *args, **kwargs)
        with eager.using(self.runs_on or self.engine), eager.quiet():  # weights are packed for the engine that is set
            if not hasattr(state_dict, "_metadata"):  # or torch would take it for one of the first version
                state_dict = OrderedDict(state_dict)
                state_dict._metadata = self.state_dict()._metadata  # type: ignore[attr-defined]
            return super().load_state_dict(state_dict, *args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy, or of a pickle's content: the weights were packed for the engine that is set now."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.devices is None:
            return
        for module in self.modules():  # torch's int8 modules come without what every module has
            for name, value in (nn.Module().__dict__ | {"training": self.training}).items():
                module.__dict__.setdefault(name, value)
        self.load_state_dict(self.state_dict())

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """Join convolution, batch norm and ReLU, in place, for ``torch.ao.quantization.prepare`` or ``prepare_qat``.

        :func:`zoo_quantized.quantize` does this and what comes after; call it only to take these steps by yourself.

        Args:
            is_qat: join them for quantization-aware training, where batch norm goes on learning; by default in train
                mode.

        Raises:
            InvalidArgument: the model is quantized already.
            MissingEngine: this torch has no ``torch.ao`` any more.
        """
        if self.engine is not None:
            raise InvalidArgument("The model is quantized already; fuse_model() is for one built with quantize=False.")
        eager.fuse(self, self.training if is_qat is None else is_qat)

    def prepare_qat(self) -> None:
        """Round from now on as the int8 model will, in place, so that training makes up for it: see
        :mod:`zoo_quantized.training`. ``zoo.train(…, qat=True)`` calls this before the first step."""
        _training().prepare(self)

    def to_int8(self) -> Quantizable:
        """The int8 model of this one, which :meth:`prepare_qat` was called on and which was trained; a copy."""
        int8: Quantizable = _training().converted(self)
        return int8

    @property
    def devices(self) -> tuple[str, ...] | None:
        """The types of device that the model can run on; None for all."""
        return None if self.engine in (None, "reference") else ("cpu",)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        if self.devices is not None and (wanted := fn(torch.zeros(0)).device.type) not in self.devices:
            raise InvalidArgument(
                f"An int8 model runs on the CPU, not on {wanted}: torch has its kernels nowhere else. Build it with "
                "quantize='reference' to run it on any device."
            )
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]


def _training() -> Any:
    """It builds on this module, and is imported when a model is trained."""
    return importlib.import_module("zoo_quantized.training")


class Fusible(nn.Module):
    """Mixed into a block of a quantizable model, for programs that fuse block by block."""

    def fuse_model(self, is_qat: bool | None = None) -> None:
        """:meth:`Quantizable.fuse_model` of this block alone."""
        eager.fuse(self, self.training if is_qat is None else is_qat)


PRODUCERS = (Quantize, Arithmetic, nn.Conv2d, nn.Linear, nn.Hardswish, nn.Hardsigmoid)


def sources(model: Quantizable) -> dict[str, str]:
    """Path of each convolution and linear layer → path of the module whose scale its input has.

    A float model is run on the meta device. What comes out of a module with a scale of its own is marked with its
    path; what pooling, slicing and the like make of it keeps the mark.

    Raises:
        InvalidArgument: a layer that the forward pass does not reach, or reaches with results of several.
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
            "Auxiliary heads are left out with aux_logits=False."
        )
    return found


class _Marks(TorchFunctionMode):
    """Hands the mark of a function's inputs on to its outputs, where the inputs have one mark."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        marks = {x._source for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and hasattr(x, "_source")}
        for y in tree_leaves(output) if len(marks) == 1 else ():
            if isinstance(y, Tensor):
                y._source = next(iter(marks))  # type: ignore[attr-defined]
        return output
