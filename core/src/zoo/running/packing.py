"""Convolutions and linear layers whose weights lie as oneDNN reads them, so that no call arranges them anew.

On a CPU, PyTorch puts the weights of a convolution in order at each call, which for one picture is a third of the work
of a ResNet-50, and multiplies matrices by MKL, which on processors that are not Intel's takes twice as long.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InvalidArgument
from zoo.running.watching import is_exactly

L = TypeVar("L", bound=nn.Module)


def can_pack(layer: nn.Module, shape: torch.Size | None) -> bool:
    """Whether :func:`packed` takes a layer that is given inputs of that shape."""
    mkldnn: Any = torch.backends.mkldnn
    if shape is None or not (mkldnn.is_available() and mkldnn.enabled):
        return False
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.device.type != "cpu" or weight.dtype not in _dtypes():
        return False
    if is_exactly(layer, (nn.Conv2d,)):
        conv: Any = layer
        return len(shape) == 4 and 0 not in shape and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return is_exactly(layer, (nn.Linear,)) and len(shape) >= 2 and 0 not in shape


def _dtypes() -> tuple[torch.dtype, ...]:
    half = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if half else (torch.float32,)


def packed(layer: nn.Module, shape: torch.Size) -> nn.Module:
    """A layer that computes what ``layer`` does; fastest for inputs of that shape, and right for any."""
    kind = PackedConv2d if isinstance(layer, nn.Conv2d) else PackedLinear
    new = kind.__new__(kind)
    new.__dict__.update(layer.__dict__)
    new._parameters = {"bias": layer._parameters["bias"]}
    new.shape = tuple(shape)
    new.pack(layer.weight)  # type: ignore[arg-type]
    return new


def is_packed(layer: nn.Module) -> bool:
    return isinstance(layer, _Packed)


class _Packed(nn.Module):
    """What both have in common. The weights can be read, and are in the state dict, as ever."""

    order: Tensor  # the weights in oneDNN's order
    dtype: torch.dtype
    shape: tuple[int, ...]

    def pack(self, weight: Tensor) -> None:
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        return self.order.to_dense() if self.order.is_mkldnn else self.order

    def ready(self, x: Tensor) -> bool:
        """Whether the operator takes an input: what is traced, differentiated or of another kind goes the usual way."""
        return (
            x.dtype == self.dtype
            and x.device.type == "cpu"
            and type(x) is Tensor
            and not (torch.is_grad_enabled() and x.requires_grad)
            and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            and x.numel() > 0
        )

    def train(self, mode: bool = True) -> Any:
        if mode:
            raise InvalidArgument(
                "A model that zoo.optimize made is for inference; train the one that it was made from."
            )
        return super().train(mode)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        weight = self.weight
        moved = fn(weight)
        if moved.device.type != "cpu" or moved.dtype != self.dtype:
            raise InvalidArgument(
                f"A model that zoo.optimize made on the CPU in {self.dtype} stays there; optimise it on {moved.device} "
                f"in {moved.dtype}."
            )
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination[prefix + "weight"] = self.weight
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "order": self.weight}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.pack(self.order)


class PackedConv2d(_Packed, nn.Conv2d):  # type: ignore[override]
    """A convolution; what it gives is channels-last."""

    def pack(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        self.settings = list(self.padding), list(self.stride), list(self.dilation), self.groups
        self.order = torch.ops.mkldnn._reorder_convolution_weight(weight.detach(), *self.settings, list(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4 and self.ready(x):
            found: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self.order, self.bias, *self.settings, "none", [], ""
            )
            return found
        usual: Tensor = self._conv_forward(x, self.weight, self.bias)
        return usual


class PackedLinear(_Packed, nn.Linear):  # type: ignore[override]
    """A linear layer."""

    def pack(self, weight: Tensor) -> None:
        self.dtype = weight.dtype
        rows = 1
        for side in self.shape[:-1]:
            rows *= side
        self.order = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), rows)

    def forward(self, x: Tensor) -> Tensor:
        if self.ready(x):
            found: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.order, self.bias, "none", [], "")
            return found
        return F.linear(x, self.weight, self.bias)
