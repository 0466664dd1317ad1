"""What may work with a model, by the names that the capability matrix has for it."""

from __future__ import annotations

from collections.abc import Mapping

CAPABILITIES: Mapping[str, str] = {
    "eager": "runs, and its outputs are finite",
    "channels-last": "the same outputs with weights and pictures in that memory format",
    "bfloat16": "near outputs with weights and inputs in bfloat16",
    "float16": "near outputs with weights and inputs in float16",
    "autocast": "near outputs under torch.autocast: bfloat16 on a CPU, float16 on CUDA",
    "fx": "torch.fx.symbolic_trace gives the same outputs",
    "deepcopy": "a deep copy gives the same outputs",
    "pickle": "what is unpickled gives the same outputs",
    "train": "two training steps with finite losses, and a gradient of each parameter",
    "ddp": "the same in DistributedDataParallel, of one process",
    "export": "torch.export gives a program of the same outputs",
    "dynamic-batch": "the exported program takes batches of any size",
    "onnx": "ONNX that onnxruntime runs with the same outputs",
    "openvino": "OpenVINO runs the exported program with the same outputs",
    "int8": "zoo.quantize gives an int8 model that runs",
    "compile": "torch.compile gives the same outputs",
}
"""Name → what was seen where it works. Other names may stand in a plugin's table, too."""
