"""Convolutions and linear layers with weights in oneDNN's layout, so that calls do not reorder them.

On a CPU, PyTorch reorders the weights of a convolution in each call, which for one picture takes a third of the time of
a ResNet-50, and multiplies matrices with MKL, which takes twice as long on processors that are not Intel's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.running.watching import is_exactly

DTYPES = (torch.float32, torch.bfloat16)
ORDERS = 2  # copies of the weights that a layer keeps, each for inputs of one shape
# Smallest layers that benefit, since a call of these operators takes some 40 µs more: weights of a convolution,
# multiplications of a linear layer.
LEAST_WEIGHTS, LEAST_WORK = 1 << 14, 1 << 22
SMALL, MANY = 1 << 20, 8  # weights up to which it keeps more copies: heads run on several levels


def _operator(name: str) -> Any:
    """None if torch was built without oneDNN."""
    return getattr(getattr(torch.ops.mkldnn, name, None), "default", None)


_CONVOLUTION, _LINEAR = _operator("_convolution_pointwise"), _operator("_linear_pointwise")


def can_pack(layer: nn.Module, shapes: set[torch.Size]) -> bool:
    """Whether :func:`packed` supports a layer with inputs of these shapes."""
    mkldnn: Any = torch.backends.mkldnn
    weight = getattr(layer, "weight", None)
    if not (_CONVOLUTION and mkldnn.is_available() and mkldnn.enabled) or not isinstance(weight, Tensor) or not shapes:
        return False
    if weight.device.type != "cpu" or weight.dtype not in dtypes():
        return False
    if len(shapes) > (MANY if weight.numel() <= SMALL else ORDERS):
        return False
    if is_exactly(layer, (nn.Conv2d,)):
        conv: Any = layer
        return weight.numel() >= LEAST_WEIGHTS and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    most = max(shape[:-1].numel() for shape in shapes)
    return is_exactly(layer, (nn.Linear,)) and most * weight.numel() >= LEAST_WORK


def dtypes() -> tuple[torch.dtype, ...]:
    """The dtypes that oneDNN supports here."""
    return DTYPES if torch.ops.mkldnn._is_mkldnn_bf16_supported() else DTYPES[:1]


def packed(layer: nn.Module) -> nn.Module:
    """A layer that computes the same as ``layer``, with its parameters."""
    kind = PackedConv2d if isinstance(layer, nn.Conv2d) else PackedLinear
    new = kind.__new__(kind)
    new.__dict__.update(layer.__dict__)
    new._parameters = dict(layer._parameters)
    new.orders = {}
    return new


def is_packed(layer: nn.Module) -> bool:
    return isinstance(layer, _Packed)


class _Packed(nn.Module):
    """The base class of both layers. Tracing, autograd, autocast and other devices use PyTorch's operators.

    Attributes:
        orders: shape of inputs and version of the weights → the weights in oneDNN's layout. The layout for one shape
            may be wrong for another, for which each call would reorder them.
    """

    orders: dict[Any, Tensor]

    def order(self, x: Tensor) -> Tensor | None:
        """The weights for an input; None to use PyTorch's operators."""
        weight = self._parameters["weight"]  # microseconds matter: a small model has a hundred layers
        if weight is None or not x.is_cpu or x.dtype is not weight.dtype or x.dtype not in DTYPES:
            return None
        if type(x) is not Tensor or x.numel() == 0 or torch.is_autocast_enabled("cpu"):
            return None
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
            return None
        if torch._C._get_tracing_state() is not None or torch.compiler.is_compiling():
            return None
        key = x.shape, weight.data_ptr(), 0 if weight.is_inference() else weight._version
        found = self.orders.get(key)
        if found is None:
            for old in list(self.orders)[: 1 - (MANY if weight.numel() <= SMALL else ORDERS)]:
                self.orders.pop(old, None)  # another thread may have removed it
            found = self.orders[key] = self.arranged(x.shape)
        return found

    def arranged(self, shape: torch.Size) -> Tensor:
        raise NotImplementedError

    def train(self, mode: bool = True) -> Any:
        if mode:
            raise InvalidArgument("An optimized model is only for inference; train the original one.")
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self.orders = {}
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "orders": {}}


class PackedConv2d(_Packed, nn.Conv2d):
    """A convolution with channels-last output."""

    def arranged(self, shape: torch.Size) -> Tensor:
        found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight.detach(), list(self.padding), list(self.stride), list(self.dilation), self.groups, list(shape)
        )
        return found

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x) if x.dim() == 4 else None
        if order is None:
            usual: Tensor = self._conv_forward(x, self.weight, self.bias)
            return usual
        found: Tensor = _CONVOLUTION(
            x, order, self._parameters["bias"], self.padding, self.stride, self.dilation, self.groups, "none", [], ""
        )
        return found


class PackedLinear(_Packed, nn.Linear):
    """A linear layer."""

    def arranged(self, shape: torch.Size) -> Tensor:
        found: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), shape[:-1].numel())
        return found

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x) if x.dim() > 1 else None
        if order is None:
            return F.linear(x, self.weight, self.bias)
        found: Tensor = _LINEAR(x, order, self._parameters["bias"], "none", [], "")
        return found
