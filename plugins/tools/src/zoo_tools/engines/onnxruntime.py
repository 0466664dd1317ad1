"""ONNX Runtime: runs a model as an ONNX graph that is made in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo_tools.engines.capturing import Captured, captured
from zoo_tools.quiet import quietly

LARGE = 1_500_000_000  # bytes of parameters above which the graph is written to a file: protobuf is limited to 2 GB


def build(module: nn.Module, arguments: tuple[Tensor, ...], *, dtype: torch.dtype | None, dynamic: Any) -> Session:
    """An ONNX Runtime session in float32.

    Raises:
        InvalidArgument: the precision, or the device, is not supported by the installed ONNX Runtime.
    """
    if dtype not in (None, torch.float32):
        raise InvalidArgument(
            f"dtype={str(dtype).removeprefix('torch.')!r}: the engine 'onnxruntime' computes in float32. "
            "Use 'openvino' or 'compile' for bfloat16."
        )
    device = arguments[0].device.type
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    if providers.get(device) not in onnxruntime.get_available_providers():
        raise InvalidArgument(
            f"The engine 'onnxruntime' does not support {device} here; the installed one supports "
            f"{', '.join(onnxruntime.get_available_providers())}. Move the model to the CPU, or use another engine."
        )
    graph = captured(module, arguments, dynamic)
    with quietly(), tempfile.TemporaryDirectory() as folder:
        program = torch.onnx.export(graph.program, dynamo=True, verbose=False)
        if program is None:
            raise RuntimeError("torch returned no program")
        if sum(p.numel() * p.element_size() for p in module.parameters()) < LARGE:
            model: Any = program.model_proto.SerializeToString()
        else:
            model = str(Path(folder) / "model.onnx")
            program.save(model)
        session = onnxruntime.InferenceSession(model, session_options(), providers=[providers[device]])
    return Session(session, graph)


def session_options() -> Any:
    """The same number of threads as torch; ONNX Runtime's warnings are disabled."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":  # do not spin, as PyTorch's threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class Session:
    """Run ONNX Runtime on tensors."""

    def __init__(self, session: Any, graph: Captured) -> None:
        self.session, self.graph = session, graph
        self.names = [value.name for value in session.get_inputs()]

    def takes(self, *tensors: Tensor) -> bool:
        return self.graph.takes(*tensors)

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        given = {name: t.detach().cpu().numpy() for name, t in zip(self.names, tensors, strict=True)}
        device = tensors[0].device
        return [torch.from_numpy(np.asarray(value)).to(device) for value in self.session.run(None, given)]
