"""What may work with a model: the names that the capability matrix uses."""

from __future__ import annotations

from collections.abc import Mapping

CAPABILITIES: Mapping[str, str] = {
    "eager": "runs, and its outputs are finite",
    "channels-last": "the same outputs with weights and pictures in that memory format",
    "bfloat16": "similar outputs with weights and inputs in bfloat16",
    "float16": "similar outputs with weights and inputs in float16",
    "autocast": "similar outputs under torch.autocast: bfloat16 on a CPU, float16 on CUDA",
    "fx": "torch.fx.symbolic_trace gives the same outputs",
    "deepcopy": "a deep copy gives the same outputs",
    "pickle": "the unpickled model gives the same outputs",
    "train": "two training steps with finite losses, and a gradient for each parameter",
    "ddp": "the same in DistributedDataParallel, with one process",
    "export": "torch.export gives a program with the same outputs",
    "dynamic-batch": "the exported program takes batches of any size",
    "onnx": "ONNX that onnxruntime runs with the same outputs",
    "openvino": "OpenVINO runs the exported program with the same outputs",
    "int8": "zoo.quantize gives an int8 model that runs",
    "compile": "torch.compile gives the same outputs",
}
"""Name → what was observed if it works. A plugin's table may also have other names."""
