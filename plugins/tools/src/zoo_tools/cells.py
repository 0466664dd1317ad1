"""The cells of the capability matrix: each is a function that raises if the feature does not work.

Run as a program in a separate process, for :mod:`zoo_tools.capabilities`::

    python -m zoo_tools.cells MODEL DEVICE CELL…

Prints one line of JSON before and after each cell.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

from zoo import registry
from zoo.contract import Exportable, Task, TaskSpec, load_object
from zoo.errors import MissingExtra, MissingPlugin, ZooError
from zoo.running.exportable import export_pictures
from zoo_tools.quiet import quietly

SIDE = 64  # side of the pictures in pixels, if the model accepts this size
SETTLED = 128  # side of the pictures for the statistics of batch norms
# Relative to the outputs' standard deviation: the same in float32, near in half precision, coarse in int8; more for
# models that amplify rounding, see `rounded`.
SAME, NEAR, COARSE = 1e-3, 0.2, 0.5
RELATED = 1.0  # unrelated outputs differ by 1.4 of their spread
NEEDS = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "int8": ("openvino", "nncf"),
}


class Failure(Exception):
    """The feature does not work; the message gives the reason."""


class Undecided(Exception):
    """A comparison cannot tell whether the feature works."""


class Subject:
    """A model to test.

    Args:
        name: name of the model, built with random weights that are the same each time.
        device: device it runs on.
    """

    def __init__(self, name: str, device: str) -> None:
        info = registry.model_info(name)
        self.spec: TaskSpec = registry.get_task(info.task, plugin=info.plugin)
        self.device = torch.device(device)
        builder = registry.get_model_builder(info.full_name)
        takes = inspect.signature(builder).parameters
        arguments: dict[str, Any] = {key: None for key in ("weights", "weights_backbone") if key in takes}
        packaged = next((key for key, w in info.weights.items() if w.url.startswith("pkg://")), None)
        if packaged is not None:  # trained weights without a download
            arguments["weights"] = packaged
        torch.manual_seed(0)
        self.model: nn.Module = builder(**arguments).eval().to(self.device)
        self.weights = next(iter(info.weights.values()), None)
        options = {key: option.default for key, option in self.spec.options_of("predict").items()}
        self.steps: Task = load_object(self.spec.implementation)(**options)
        self.train_side = info.input.get("train_size", SIDE)
        self.inputs = self.example(SIDE)
        with torch.no_grad():
            if packaged is None:
                self.settle()
            self.expected = self.comparable(self.model, self.inputs)

    def settle(self) -> None:
        """Set the statistics of batch norms from their inputs. With the initial statistics, activations of an
        untrained model grow or vanish from layer to layer until half precision cannot represent them."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        norms = [m for m in norms if m.track_running_stats]
        if not norms:
            return
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.momentum = 1.0
        try:
            inputs = self.example(max(self.train_side, SETTLED))
            if self.batches():  # use more and other inputs: the spread of few numbers is unreliable
                inputs = tuple(torch.rand(8, *t.shape[1:], device=t.device) for t in inputs)
            self.model.train()(*self.with_targets(self.model, inputs))
        finally:
            for m, momentum in zip(norms, momenta, strict=True):
                m.momentum = momentum
            self.model.eval()

    def with_targets(self, model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """A training sample: inputs, and for some tasks the targets."""
        make = registry.provided(self.spec, "train")
        found: tuple[Any, ...] = inputs if make is None else make().with_targets(model, inputs)
        return found

    def example(self, side: int) -> tuple[Any, ...]:
        """Two random inputs on the device."""
        one = self.steps.example(self.model, self.weights, side)
        found: tuple[Any, ...] = tuple(_twice(argument) for argument in one)
        found = tree_map_only(Tensor, lambda t: t.to(self.device), found)
        return found

    def comparable(self, model: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
        """The output of the model, or for discontinuous outputs the tensors they are computed from."""
        return tensors_of(getattr(model, "comparable", model)(*inputs))

    def batches(self) -> bool:
        """Whether the model takes a tensor whose first dimension is the number of inputs."""
        return all(isinstance(argument, Tensor) for argument in self.inputs)

    def exportable(self, *dynamic: str) -> Exportable:
        """The module that ``zoo export`` writes, with its free axes.

        Raises:
            Failure: exported files of this task have no free axes.
        """
        make = registry.provided(self.spec, "export")
        if make is None:
            return export_pictures(self.model, self.size, dynamic=dynamic)
        if dynamic and not {"dynamic", "kwargs"} & inspect.signature(make).parameters.keys():
            raise Failure(f"exported files of the task {self.spec.name} accept one input size only")
        ready: Exportable = make(self.model, self.size, **({"dynamic": dynamic} if dynamic else {}))
        return ready

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the inputs."""
        shape = _picture(self.inputs).shape
        return int(shape[-2]), int(shape[-1])


def _twice(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return torch.cat([argument, argument.flip(-1)])
    return [*argument, *(one.flip(-1) for one in argument)] if isinstance(argument, list) else argument


def _picture(inputs: Any) -> Tensor:
    return next(t for t in tree_flatten(inputs)[0] if isinstance(t, Tensor))


def tensors_of(value: Any) -> list[Tensor]:
    """All floating-point tensors in an output, in order; for objects, those in their attributes."""
    leaves = tree_flatten(value)[0]
    found = [t for leaf in leaves for t in ([leaf] if isinstance(leaf, Tensor) else _of_object(leaf))]
    return [t for t in found if t.is_floating_point()]


def _of_object(leaf: Any) -> list[Tensor]:
    return tensors_of(vars(leaf)) if hasattr(leaf, "__dict__") and not isinstance(leaf, nn.Module | type) else []


def furthest(got: list[Tensor], want: list[Tensor], limit: float, *, mean: bool = False) -> dict[str, float]:
    """The difference from the expected outputs, relative to their spread: the largest difference, or in half
    precision and int8 the root mean square.

    Raises:
        Failure: the difference exceeds ``limit``, or outputs are not finite or have other shapes.
    """
    if [t.shape for t in got] != [t.shape for t in want]:
        raise Failure(f"shapes are {[list(t.shape) for t in got][:3]}, expected {[list(t.shape) for t in want][:3]}")
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if not b.numel():
            continue
        a, b = a.detach().double().cpu(), b.detach().double().cpu()
        if not bool(a.isfinite().all()) and bool(b.isfinite().all()):
            raise Failure("outputs are NaN or infinite")
        spread = b.std(correction=0).item() or b.abs().max().item() or 1.0
        apart = (a - b).square().mean().sqrt() if mean else (a - b).abs().max()
        worst = max(worst, apart.item() / spread)
    if not worst <= limit:
        raise Failure(f"outputs differ by {worst:.2g} of their spread; at most {limit:g} is allowed")
    return {"off": float(f"{worst:.2g}")}


def rounded(s: Subject, dtype: torch.dtype) -> float:
    """The change of the outputs, relative to their spread, if only inputs and weights are rounded to ``dtype`` and the
    computation is in float32. A deep model with random weights may amplify rounding to a third of the spread."""
    model = copy.deepcopy(s.model)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.to(dtype))
        inputs = tree_map_only(Tensor, lambda t: t.to(dtype).to(t.dtype) if t.is_floating_point() else t, s.inputs)
        return furthest(s.comparable(model, inputs), s.expected, float("inf"), mean=True)["off"]


def nearly(
    s: Subject, got: list[Tensor], want: list[Tensor], dtype: torch.dtype, limit: float = NEAR, times: int = 2
) -> dict[str, float]:
    """:func:`furthest` by the root mean square; a larger difference is allowed up to ``times`` that of :func:`rounded`,
    which is computed only then.

    Raises:
        Failure: the outputs differ by more.
        Undecided: the model amplifies rounding so much that outputs of a correct computation may be unrelated.
    """
    try:
        return furthest(got, want, limit, mean=True)
    except Failure as e:
        amplified = times * rounded(s, dtype)
        if amplified <= limit:
            raise
        try:
            return furthest(got, want, min(amplified, RELATED), mean=True)
        except Failure:
            if amplified <= RELATED:
                raise
            raise Undecided(f"{e}, but rounding alone may change them by {amplified:.2g}") from None


# ── the cells ────────────────────────────────────────────────────────────────────────────────────────────────────


def eager(s: Subject) -> dict[str, Any]:
    if not s.expected or not all(bool(t.isfinite().all()) for t in s.expected):
        raise Failure("outputs are NaN or infinite")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        s.model(*s.inputs)
        if s.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return {"ms": round(min(times) * 1e3, 2)}


def channels_last(s: Subject) -> dict[str, Any]:
    volumes = any(isinstance(m, nn.Conv3d) for m in s.model.modules())
    layout, rank = (torch.channels_last_3d, 5) if volumes else (torch.channels_last, 4)
    model = copy.deepcopy(s.model)
    for p in model.parameters():
        if p.ndim == rank:
            p.data = p.data.contiguous(memory_format=layout)
    inputs = tree_map_only(Tensor, lambda t: t.to(memory_format=layout) if t.ndim == rank else t, s.inputs)
    return furthest(s.comparable(model, inputs), s.expected, SAME)


def _in_precision(s: Subject, dtype: torch.dtype) -> dict[str, Any]:
    model = copy.deepcopy(s.model).to(dtype)
    inputs = tree_map_only(Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, s.inputs)
    return nearly(s, s.comparable(model, inputs), s.expected, dtype)


def bfloat16(s: Subject) -> dict[str, Any]:
    return _in_precision(s, torch.bfloat16)


def float16(s: Subject) -> dict[str, Any]:
    return _in_precision(s, torch.float16)


def autocast(s: Subject) -> dict[str, Any]:
    dtype = torch.bfloat16 if s.device.type == "cpu" else torch.float16
    with torch.autocast(s.device.type, dtype):
        got = s.comparable(s.model, s.inputs)
    return nearly(s, got, s.expected, dtype)


def fx(s: Subject) -> dict[str, Any]:
    traced = torch.fx.symbolic_trace(s.model)
    return furthest(tensors_of(traced(*s.inputs)), tensors_of(s.model(*s.inputs)), SAME)


def deepcopy(s: Subject) -> dict[str, Any]:
    return furthest(s.comparable(copy.deepcopy(s.model), s.inputs), s.expected, SAME)


def pickled(s: Subject) -> dict[str, Any]:
    return furthest(s.comparable(pickle.loads(pickle.dumps(s.model)), s.inputs), s.expected, SAME)


def _steps(s: Subject, wrap: Callable[[nn.Module], nn.Module] = lambda model: model) -> dict[str, Any]:
    own = copy.deepcopy(s.model).train()
    model = wrap(own)
    inputs = s.with_targets(own, s.example(s.train_side))
    trained = {name: p for name, p in own.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=1e-4)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        parts = tensors_of(model(*inputs))
        loss = torch.stack([part.float().square().mean() for part in parts if part.requires_grad]).sum()
        torch.autograd.backward(loss)
        without = [name for name, p in trained.items() if p.grad is None]
        if without:
            raise Failure(f"{len(without)} of {len(trained)} parameters get no gradient: {', '.join(without[:3])}")
        optimizer.step()
        losses.append(loss.item())
    if not all(map(_is_finite, losses)):
        raise Failure(f"the losses are {losses}")
    return {}


def _is_finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")


def train(s: Subject) -> dict[str, Any]:
    with torch.enable_grad():
        return _steps(s)


def ddp(s: Subject) -> dict[str, Any]:
    from torch import distributed

    with tempfile.TemporaryDirectory() as folder, torch.enable_grad():
        backend = "nccl" if s.device.type == "cuda" else "gloo"
        distributed.init_process_group(backend, f"file://{folder}/store", rank=0, world_size=1)
        try:
            return _steps(s, nn.parallel.DistributedDataParallel)
        finally:
            distributed.destroy_process_group()


def export(s: Subject) -> dict[str, Any]:
    ready = s.exportable()
    arguments = tree_map_only(Tensor, lambda t: t.to(s.device), ready.arguments)
    program = torch.export.export(ready.module, arguments, strict=False)
    return furthest(tensors_of(program.module()(*arguments)), tensors_of(ready.module(*arguments)), SAME)


def dynamic_batch(s: Subject) -> dict[str, Any]:
    ready = s.exportable("batch")
    arguments = _placed(s, ready)
    free = [
        {axis: torch.export.Dim.DYNAMIC for axis, name in ready.axes[i].items() if name == "batch"}
        for i in ready.inputs
    ]
    if not all(free):
        raise Failure("exported files accept one input at a time")
    shapes: Any = tuple(free)
    kinds = [one.kind for one in inspect.signature(ready.module.forward).parameters.values()]
    if kinds[0] is inspect.Parameter.VAR_POSITIONAL:
        shapes = (shapes,)
    program = torch.export.export(ready.module, arguments, dynamic_shapes=shapes, strict=False)
    off: dict[str, Any] = {}
    for n in (1, 3):
        inputs = tuple(t[:1].repeat(n, *[1] * (t.ndim - 1)) for t in arguments)
        off = furthest(tensors_of(program.module()(*inputs)), tensors_of(ready.module(*inputs)), SAME)
    return off


def onnx(s: Subject) -> dict[str, Any]:
    return _file(s, "onnx")


def openvino(s: Subject) -> dict[str, Any]:
    return _file(s, "xml")


def _file(s: Subject, ending: str) -> dict[str, Any]:
    """Outputs of a file written by ``zoo export``, run by the runtime it is for."""
    import zoo

    ready = s.exportable()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ending}"
        report = zoo.export(s.model, path, image_size=s.size, task=s.spec.name)
        run = load_object(registry.format_of(path).open)(path)
        found = run(*(t.cpu() for t in ready.arguments))
        got = [found[name] for name in report.outputs]
    return furthest([t for t in got if t.is_floating_point()], tensors_of(ready.module(*_placed(s, ready))), SAME)


def _placed(s: Subject, ready: Exportable) -> tuple[Any, ...]:
    placed: tuple[Any, ...] = tree_map_only(Tensor, lambda t: t.to(s.device), ready.arguments)
    return placed


def int8(s: Subject) -> dict[str, Any]:
    from zoo_tools.quantizing import quantize

    if not s.batches() or len(s.inputs) != 1:
        raise Failure("zoo.quantize supports only models whose input is one batch of pictures")
    generator = torch.Generator().manual_seed(0)
    # In [0, 1], like the inputs that set the statistics: others would give ranges far beyond those of the test.
    batches = [torch.rand(s.inputs[0].shape, generator=generator) for _ in range(4)]
    quantized = quantize(s.model.cpu(), batches)
    got = tensors_of(quantized(*s.inputs))
    want = tensors_of(s.model(*s.inputs))
    return nearly(s, got, want, torch.bfloat16, COARSE, times=3)


def compiled(s: Subject) -> dict[str, Any]:
    import torch._dynamo as dynamo

    told = dynamo.explain(s.model)(*s.inputs)
    dynamo.reset()
    figures = {"graphs": told.graph_count, "breaks": told.graph_break_count}
    fast = torch.compile(s.model)
    with torch.no_grad():
        off = furthest(tensors_of(fast(*s.inputs)), tensors_of(s.model(*s.inputs)), SAME)
    return {**figures, **off}


FUNCTIONS: Mapping[str, Callable[[Subject], dict[str, Any]]] = {
    "eager": eager,
    "channels-last": channels_last,
    "bfloat16": bfloat16,
    "float16": float16,
    "autocast": autocast,
    "fx": fx,
    "deepcopy": deepcopy,
    "pickle": pickled,
    "train": train,
    "ddp": ddp,
    "export": export,
    "dynamic-batch": dynamic_batch,
    "onnx": onnx,
    "openvino": openvino,
    "int8": int8,
    "compile": compiled,
}


def measure(subject: Subject, cell: str) -> dict[str, Any] | None:
    """The result of a cell: ``{"works": bool, "note": reason, …figures}``; None if a required package is not
    installed, or a comparison cannot tell."""
    for package in NEEDS.get(cell, ()):
        if importlib.util.find_spec(package) is None:
            return None
    start = time.perf_counter()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), quietly():
            torch.manual_seed(0)
            found = {"works": True, **FUNCTIONS[cell](subject)}
    except (MissingExtra, MissingPlugin, Undecided):
        return None
    except Failure as e:
        found = {"works": False, "note": str(e)}
    except Exception as e:  # noqa: BLE001  models, compilers and exporters can raise anything
        found = {"works": False, "note": reason(e)}
    return {**found, "seconds": round(time.perf_counter() - start, 1)}


def reason(e: BaseException) -> str:
    """Type and first line of the original error."""
    while e.__cause__ is not None:
        e = e.__cause__
    text = str(e).strip().splitlines()
    said = str(e) if isinstance(e, ZooError) else next((line for line in text if line.strip()), "no reason given")
    return f"{type(e).__name__}: {said}"[:300]


def main(arguments: list[str]) -> int:
    """Print one line before and one after each cell."""
    name, device, *cells = arguments
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of native code goes to standard error

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    say(cell="build", state="begun")
    try:
        with quietly():
            subject = Subject(name, device)
    except Exception as e:  # noqa: BLE001  a plugin's code can raise anything
        say(cell="build", state="done", result={"works": False, "note": reason(e)})
        return 1
    shapes = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in tree_flatten(subject.inputs)[0]]
    say(cell="build", state="done", result={"works": True}, inputs=shapes)
    for cell in cells:
        say(cell=cell, state="begun")
        say(cell=cell, state="done", result=measure(subject, cell))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
