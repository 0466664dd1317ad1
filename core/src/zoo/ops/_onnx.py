"""Operators that exist in ONNX, for both of PyTorch's exporters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

_KINDS = {str: "s", int: "i", float: "f"}  # suffixes of attribute types in the tracing exporter


def onnx_operator(
    name: str,
    inputs: Sequence[Tensor],
    attributes: Mapping[str, str | int | float],
    eager: Callable[..., Tensor],
    like: tuple[torch.dtype, Sequence[int | torch.SymInt]],
    version: int,
) -> Tensor:
    """The ONNX operator ``name`` in the graph that is being exported.

    Args:
        inputs: of the operator.
        attributes: of the operator.
        eager: computes the same from the inputs: the tracing exporter (``dynamo=False``) continues with real values.
        like: dtype and shape of the result, which the other exporter needs.
        version: the opset of the operator.
    """
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        result: Tensor = _Traced.apply(name, dict(attributes), eager, *(t.detach() for t in inputs))  # type: ignore[no-untyped-call]
        return result
    dtype, shape = like
    return torch.onnx.ops.symbolic(name, tuple(inputs), dict(attributes), dtype=dtype, shape=shape, version=version)


class _Traced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, name: str, attributes: dict[str, Any], eager: Callable[..., Tensor], *inputs: Tensor) -> Any:
        # In another thread, where no trace is recorded: its operations are not part of the graph.
        with ThreadPoolExecutor(1) as aside:
            return aside.submit(torch.no_grad()(eager), *inputs).result()

    @staticmethod
    def symbolic(g: Any, name: str, attributes: dict[str, Any], eager: Any, *inputs: Any) -> Any:
        if name == "RoiAlign" and g.opset < 16:  # it has no mode yet: regions are offset by half a pixel
            attributes = dict(attributes)
            if attributes.pop("coordinate_transformation_mode") == "half_pixel":
                half = g.op("Constant", value_t=torch.tensor(0.5 / attributes["spatial_scale"]))
                inputs = (inputs[0], g.op("Sub", inputs[1], half), *inputs[2:])
        return g.op(name, *inputs, **{f"{key}_{_KINDS[type(value)]}": value for key, value in attributes.items()})
