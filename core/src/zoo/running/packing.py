"""Convolutions and linear layers with weights in oneDNN's layout, so that calls do not reorder them, and with the
activation that follows, so that it does not read and write the output again.

On a CPU, PyTorch reorders the weights of a convolution in each call, which for one picture takes a third of the time of
a ResNet-50, and multiplies matrices with MKL, which takes twice as long on processors that are not Intel's. An
activation in half precision takes a tenth of the time of an EfficientNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.running.editing import Edits
from zoo.running.watching import Watch, is_exactly

CHANNELS_LAST = "channels-last"  # name of a step
DTYPES = (torch.float32, torch.bfloat16)
ORDERS = 2  # copies of the weights that a layer keeps, each for inputs of one shape
# Smallest layers that benefit, since a call of these operators takes some 40 µs more: weights of a convolution,
# multiplications of a linear layer. In half precision every convolution with an activation does.
LEAST_WEIGHTS, LEAST_WORK = 1 << 14, 1 << 22
SMALL, MANY = 1 << 20, 8  # weights up to which it keeps more copies: heads run on several levels
Post = tuple[str, list[float], str]  # an operation on the output: name, constants, variant
NOTHING: Post = ("none", [], "")


def _operator(name: str) -> Any:
    """None if torch was built without oneDNN."""
    return getattr(getattr(torch.ops.mkldnn, name, None), "default", None)


_CONVOLUTION, _LINEAR = _operator("_convolution_pointwise"), _operator("_linear_pointwise")


def post_of(activation: Any) -> Post:
    """oneDNN's operation for an activation; ``NOTHING`` if it has none."""
    if is_exactly(activation, (nn.Hardtanh, nn.ReLU6)):
        return "hardtanh", [float(activation.min_val), float(activation.max_val)], ""
    if is_exactly(activation, (nn.LeakyReLU,)):
        return "leaky_relu", [float(activation.negative_slope)], ""
    if is_exactly(activation, (nn.GELU,)):
        return "gelu", [], activation.approximate
    names = {
        nn.ReLU: "relu", nn.SiLU: "swish", nn.Hardswish: "hardswish", nn.Sigmoid: "sigmoid",
        nn.Hardsigmoid: "hardsigmoid", nn.Tanh: "tanh",
    }  # fmt: skip
    return next(((name, [], "") for kind, name in names.items() if is_exactly(activation, (kind,))), NOTHING)


def can_pack(layer: nn.Module, shapes: set[torch.Size], activation: nn.Module | None = None) -> bool:
    """Whether :func:`packed` supports a layer with inputs of these shapes, and it is worth it."""
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
        worth = weight.numel() >= LEAST_WEIGHTS or (activation is not None and weight.dtype is torch.bfloat16)
        return worth and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    most = max(shape[:-1].numel() for shape in shapes)
    return is_exactly(layer, (nn.Linear,)) and most * weight.numel() >= LEAST_WORK


def layouts(
    model: nn.Module,
    watch: Watch,
    alone: set[nn.Module],
    activations: Mapping[nn.Module, nn.Module],
    channels_last: bool,
) -> dict[str, Edits]:
    """Changes of the memory layout of weights, applied: name → changes.

    Args:
        alone: layers whose weights are not shared.
        activations: layers → activations that are computed with them.
        channels_last: whether to change convolutions.
    """
    linear, convs = Edits(model), Edits(model)

    def pack(m: nn.Module, edits: Edits) -> None:
        act = activations.get(m)
        act = None if post_of(act) is NOTHING else act
        if m in alone and can_pack(m, watch.shapes[m], act):
            edits.replace(m, packed(m, act))
            if act is not None:
                edits.replace(act, nn.Identity())

    for m in [m for m in model.modules() if isinstance(m, nn.Linear)]:
        pack(m, linear)
    for conv in [m for m in model.modules() if channels_last and isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]:
        if conv._parameters.get("weight") is not None:
            weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
            convs.set(conv, "weight", nn.Parameter(weight, requires_grad=False))
        pack(conv, convs)
    return {"packed linear layers": linear, CHANNELS_LAST: convs}


def dtypes() -> tuple[torch.dtype, ...]:
    """The dtypes that oneDNN supports here."""
    return DTYPES if torch.ops.mkldnn._is_mkldnn_bf16_supported() else DTYPES[:1]


def packed(layer: nn.Module, activation: nn.Module | None = None) -> nn.Module:
    """A layer that computes the same as ``layer`` and then ``activation``, with its parameters."""
    kind = PackedConv2d if isinstance(layer, nn.Conv2d) else PackedLinear
    new = kind.__new__(kind)
    new.__dict__.update(layer.__dict__)
    new._parameters = dict(layer._parameters)
    new.orders = {}
    new.post = post_of(activation) if activation is not None else NOTHING
    new._modules = {"activation": activation} if activation is not None else {}
    return new


def is_packed(layer: nn.Module) -> bool:
    return isinstance(layer, _Packed)


def activation_of(layer: nn.Module) -> nn.Module | None:
    """The activation that a packed layer includes."""
    return layer._modules.get("activation") if is_packed(layer) else None


class _Packed(nn.Module):
    """The base class of both layers. Tracing, autograd, autocast and other devices use PyTorch's operators.

    Attributes:
        orders: shape of inputs, number of threads and version of the weights → the weights in oneDNN's layout. The
            layout for one of them may be wrong for another, for which each call would reorder them.
        post: the activation, as oneDNN's operation.
    """

    orders: dict[Any, Tensor]
    post: Post

    def activated(self, x: Tensor) -> Tensor:
        """PyTorch's activation of an output."""
        activation = self._modules.get("activation")
        found: Tensor = x if activation is None else activation(x)
        return found

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
        version = 0 if weight.is_inference() else weight._version
        key = x.shape, torch.get_num_threads(), weight.data_ptr(), version
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
    """A convolution with channels-last output, and perhaps an activation."""

    def arranged(self, shape: torch.Size) -> Tensor:
        found: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight.detach(), list(self.padding), list(self.stride), list(self.dilation), self.groups, list(shape)
        )
        return found

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x) if x.dim() == 4 else None
        if order is None:
            return self.activated(self._conv_forward(x, self.weight, self.bias))
        found: Tensor = _CONVOLUTION(
            x, order, self._parameters["bias"], self.padding, self.stride, self.dilation, self.groups, *self.post
        )
        return found


class PackedLinear(_Packed, nn.Linear):
    """A linear layer, and perhaps an activation."""

    def arranged(self, shape: torch.Size) -> Tensor:
        found: Tensor = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), shape[:-1].numel())
        return found

    def forward(self, x: Tensor) -> Tensor:
        order = self.order(x) if x.dim() > 1 else None
        if order is None:
            return self.activated(F.linear(x, self.weight, self.bias))
        found: Tensor = _LINEAR(x, order, self._parameters["bias"], *self.post)
        return found
