"""OpenVINO: runs a model in float32 or, if the processor supports it, in bfloat16."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import openvino
import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo_tools.engines.capturing import Captured, captured
from zoo_tools.quiet import quietly

STATIC = 4  # shapes that get a program each, which is fastest; more share a dynamic one
PRECISIONS = {None: "f32", torch.float32: "f32", torch.bfloat16: "bf16"}


def build(module: nn.Module, arguments: tuple[Tensor, ...], *, dtype: torch.dtype | None, dynamic: Any) -> Programs:
    """OpenVINO programs for the CPU.

    Raises:
        InvalidArgument: the precision is float16, or the model is not on the CPU.
    """
    if dtype not in PRECISIONS:
        raise InvalidArgument(
            f"dtype={str(dtype).removeprefix('torch.')!r}: the engine 'openvino' computes in float32 or bfloat16."
        )
    if arguments[0].device.type != "cpu":
        raise InvalidArgument(
            f"The engine 'openvino' runs on the CPU, and the model is on {arguments[0].device}. Move the model to the "
            "CPU, or use another engine."
        )
    graph = captured(module, arguments, dynamic)
    with quietly():
        model = openvino.convert_model(graph.program)
    return Programs(model, graph, PRECISIONS[dtype])


class Programs:
    """Run OpenVINO on tensors."""

    def __init__(self, model: Any, graph: Captured, precision: str) -> None:
        self.model, self.graph = model, graph
        self.core = openvino.Core()
        self.settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.compiled: OrderedDict[Any, Any] = OrderedDict()
        self.building = threading.Lock()

    def takes(self, *tensors: Tensor) -> bool:
        return self.graph.takes(*tensors)

    def program(self, sizes: tuple[torch.Size, ...]) -> Any:
        found = self.compiled.get(sizes) or self.compiled.get(None)
        if found is None:
            with self.building:
                found = self.compiled.get(sizes) or self.compiled.get(None) or self._compile(sizes)
        return found

    def _compile(self, sizes: tuple[torch.Size, ...]) -> Any:
        free = any(self.graph.free)
        every = free and len(self.compiled) == STATIC
        for value, size, dims in zip(self.model.inputs, sizes, self.graph.free, strict=True):
            shape = [-1 if every and d in dims else side for d, side in enumerate(size)]
            value.get_node().set_partial_shape(openvino.PartialShape(shape))
        self.model.validate_nodes_and_infer_types()
        program = self.core.compile_model(self.model, "CPU", self.settings)
        self.compiled[None if every else sizes] = program
        return program

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        program = self.program(tuple(t.shape for t in tensors))
        found = program([t.detach().contiguous().numpy() for t in tensors])  # each thread has its own request
        return [torch.from_numpy(found[i].copy()) for i in range(len(program.outputs))]
