"""The configurations that are compared: an engine and a precision.

Run as a program in a new process, it measures the time of the first output, and memory::

    python -m zoo_tools.ways '{"model": …, "engine": …, …}'
"""

from __future__ import annotations

import sys
import time

STARTED = time.time()  # before torch is imported, which counts as part of the time

import json  # noqa: E402
from collections.abc import Iterator, Mapping, Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

EAGER = "eager"
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
INT8 = {"openvino": "openvino", "compile": "torch"}  # engine → its name in zoo.quantize


@dataclass(frozen=True)
class Way:
    """A configuration to run a model.

    Attributes:
        engine: ``"eager"`` for the unchanged model, otherwise an engine of :func:`zoo.optimize`.
        precision: ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"int8"``.
    """

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


def ways_of(engines: Sequence[str], precisions: Sequence[str]) -> list[Way]:
    """The supported combinations: int8 only with engines that have it."""
    found = [Way(EAGER, "float32")]
    for engine in engines:
        for precision in precisions:
            way = Way(engine, precision)
            none = (engine == EAGER and precision != "float32") or (precision == "int8" and engine not in INT8)
            if not none and way not in found:
                found.append(way)
    return found


def find(model: str, weights: str | None, config: Mapping[str, Any], device: str) -> Any:
    """Build the model, in eval mode."""
    import inspect

    import torch

    from zoo import registry

    arguments = dict(config)
    if weights is None and registry.model_info(model).source is None:
        builder = registry.get_model_builder(registry.model_info(model).full_name)
        takes = inspect.signature(builder).parameters
        arguments |= {name: None for name in ("weights", "weights_backbone") if name in takes}
        torch.manual_seed(0)
    elif weights is not None:
        arguments["weights"] = weights
    return registry.get_model(model, **arguments).eval().to(device)


def example_of(model: Any, name: str, batch: int, device: str) -> tuple[Any, ...]:
    """Random inputs of the size used for predictions."""
    import torch
    from torch import Tensor
    from torch.utils._pytree import tree_map_only

    from zoo import registry
    from zoo.contract import load_object
    from zoo.loading import loaded_weights

    info = registry.model_info(name)
    spec = registry.get_task(info.task, plugin=info.plugin)
    steps = load_object(spec.implementation)(**{k: o.default for k, o in spec.options_of("predict").items()})
    one = steps.example(model, loaded_weights(model) or info.weights.get("DEFAULT"))

    def several(argument: Any) -> Any:
        if isinstance(argument, Tensor):
            return torch.cat([argument] * batch)
        return [*argument] * batch if isinstance(argument, list) else argument

    found: tuple[Any, ...] = tuple(several(argument) for argument in one)
    return tree_map_only(Tensor, lambda t: t.to(device), found)  # type: ignore[no-any-return]


def make(way: Way, model: Any, example: tuple[Any, ...]) -> Any:
    """The model in this configuration. Errors are not caught: a model may not support it."""
    import torch

    import zoo

    if way.engine == EAGER:
        return model
    if way.precision == "int8":
        from zoo_tools.quantizing import quantize

        generator = torch.Generator().manual_seed(0)
        pictures = [torch.rand(example[0][:1].shape, generator=generator) for _ in range(8)]
        return quantize(model, pictures, engine=INT8[way.engine])
    dtype = None if way.precision == "float32" else way.precision
    return zoo.optimize(model, example, engine=way.engine, dtype=dtype, measure=way.engine == "torch")


def size_of(model: Any) -> int:
    """Size of the parameters and buffers in bytes."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def peak_memory(device: str) -> float:
    """Peak memory in MB: allocated by torch on a GPU, otherwise the peak resident size of this process."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():  # for this program only; getrusage includes the process that started it
        found = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if found:
            return int(found[0]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def started() -> float:
    """Start time of this process in seconds, as ``time.time``, if the system provides it."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        up = float(Path("/proc/uptime").read_text().split()[0])
        import os

        return time.time() - (up - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return STARTED


def lines(asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Time of the first output of a new process, and its memory after a few more runs."""
    import torch

    if asked.get("threads"):
        torch.set_num_threads(asked["threads"])
    if asked.get("file"):  # a file that was quantized before
        from zoo import registry

        fast: Any = registry.get_model(asked["file"])
        example: tuple[Any, ...] = tuple(torch.rand(shape) for shape in asked["shapes"])
    else:
        model = find(asked["model"], asked["weights"], asked["config"], asked["device"])
        example = example_of(model, asked["model"], asked["batch"], asked["device"])
        fast = make(Way(asked["engine"], asked["precision"]), model, example)
    with torch.inference_mode():
        fast(*example)
        if torch.device(asked["device"]).type == "cuda":
            torch.cuda.synchronize()
        seconds = time.time() - started()
        for _ in range(3):
            fast(*example)
    yield {"first_answer_s": round(seconds, 3), "memory_mb": round(peak_memory(asked["device"]), 1)}


if __name__ == "__main__":
    for line in lines(json.loads(sys.argv[1])):
        print(json.dumps(line))
