"""The checks that build models and run them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contract import Result, Stage, short
from zoo.errors import UnknownWeights
from zoo.features import feature_info, layout_of, reader
from zoo.loading import load_report
from zoo.running.tasks import noise
from zoo.testing.contract import members, raise_for
from zoo.testing.examples import Bench, prepare
from zoo.testing.outcomes import Fault, Skip

FEATURE_SIDE = 224  # on the meta device, where size is free; large enough to distinguish strides
CAPTURE_TOLERANCE = 1e-5  # relative to the largest output: captured operations may be decomposed


def devices() -> list[torch.device]:
    """The available devices."""
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [torch.device(name) for name, there in found.items() if there]


def tensors(value: Any, path: str = "output") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested tuples, lists, mappings and dataclasses, with its path."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from tensors(item, f"{path}[{key!r}]")
    elif hasattr(value, "_asdict"):
        yield from tensors(value._asdict(), path)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from tensors(item, f"{path}[{i}]")
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from tensors(getattr(value, f.name), f"{path}.{f.name}")


def moved(value: Any, device: torch.device | str) -> Any:
    """``value`` with every tensor in lists, tuples and mappings on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: moved(item, device) for key, item in value.items()}
    return type(value)(moved(item, device) for item in value) if isinstance(value, list | tuple) else value


def call(model: Callable[..., Any], inputs: tuple[Any, ...], seed: int = 0) -> dict[str, Tensor]:
    """The tensors in the model's output. Inputs are copied, since a model may write to them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = dict(tensors(model(*copy.deepcopy(inputs))))
    if not found:
        raise Fault("The output contains no tensor.")
    return found


def infer(model: Callable[..., Any], inputs: tuple[Any, ...], seed: int = 0) -> dict[str, Tensor]:
    with torch.no_grad():
        return call(model, inputs, seed)


def equal(a: Tensor, b: Tensor, tolerance: float = 0.0) -> bool:
    """Whether shapes are equal, and values within ``tolerance`` times the largest; nan is equal to nan."""
    if a.shape != b.shape or torch.equal(a, b):
        return a.shape == b.shape
    bound = tolerance * b.double().abs().max().item() if b.numel() else 0.0
    return torch.allclose(a.double(), b.double(), rtol=0, atol=bound if math.isfinite(bound) else 0, equal_nan=True)


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float = 0.0) -> str | None:
    """A description of the first output that differs; None if none does."""
    if found.keys() != expected.keys():
        return f"{', '.join(found)} instead of {', '.join(expected)}"
    for path, b in expected.items():
        a = found[path]
        if a.shape != b.shape:
            return f"{path} has shape {list(a.shape)} instead of {list(b.shape)}"
        if not equal(a, b, tolerance):
            far, large = (a.double() - b).abs().max().item(), b.abs().max().item()
            return f"{path} differs by up to {far:.2g}, with values up to {large:.2g}"
    return None


def not_finite(named: Mapping[str, Tensor | None]) -> list[str]:
    return [
        f"{name} is not finite"
        for name, t in named.items()
        if t is not None and t.is_floating_point() and not torch.isfinite(t).all()
    ]


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    return model if device.type == "cpu" else copy.deepcopy(model).to(device)


# ── the checks ───────────────────────────────────────────────────────────────────────────────────────────────────


def signature(bench: Bench) -> str | None:
    taken = inspect.signature(bench.builder).parameters
    advice = f"Decorate {bench.spec.builder} with @zoo.builder(ITS_WEIGHTS, head=…)."
    if "weights" not in taken:
        raise Fault(f"The builder does not take weights=. {advice}")
    if (default := taken["weights"].default) is not None:
        raise Fault(f"The builder's weights are {default!r} by default, so building a model loads a file. {advice}")
    if hasattr(bench.builder, "weights_enum"):  # a decorated builder loads no file on the meta device
        for member in bench.spec.weights or ():
            try:
                bench.build_on_meta(weights=member)
            except UnknownWeights as e:
                raise Fault(
                    f"According to the manifest {member!r} is for this model, but the builder says: {e} {advice}"
                ) from e
            break  # one member shows whether the enum is the builder's
    return None if inspect.getdoc(bench.builder) else "the builder has no docstring"


def parameters(bench: Bench) -> str | None:
    default = bench.spec.default_weights
    declared = [("ModelSpec", default.config if default else {}, bench.spec.num_params)]
    declared += [(member.name, member.value.config, member.value.num_params) for member in bench.spec.weights or ()]
    declared = [(name, config, number) for name, config, number in declared if number is not None]
    if not declared:
        raise Skip("no number of parameters is declared")
    counts: dict[str, int] = {}
    for name, config, number in declared:
        key = repr(sorted(config.items()))
        if key not in counts:
            counts[key] = sum(p.numel() for p in bench.build_on_meta(**config).parameters())
        if counts[key] != number:
            raise Fault(
                f"{name} declares num_params={number:,}, but with config={dict(config)} there are {counts[key]:,}."
            )
    return None


def forward(bench: Bench) -> str | None:
    for device in devices():
        found = infer(placed(bench.model, device), moved(bench.inputs, device))
        raise_for([f"On {device.type}: {problem}." for problem in not_finite(found)])
        logits = next(iter(found.values()))
        if bench.classifies and (logits.ndim != 2 or len(logits) != len(bench.inputs[0])):
            raise Fault(f"The logits have shape {list(logits.shape)}; expected [N, num_classes].")
    return "on " + ", ".join(device.type for device in devices())


def train(bench: Bench) -> str | None:
    unreached: list[str] = []
    for device in devices():
        inputs = moved(bench.kit.train_example(bench.spec.name), device)  # first, since it uses the model in eval mode
        model = placed(bench.model, device).train()
        found = call(model, inputs)
        reached = [t for t in found.values() if t.requires_grad]
        if not reached:
            raise Fault(f"On {device.type}: no output depends on a parameter in train mode; the graph is interrupted.")
        loss = torch.stack([t.float().square().mean() for t in reached]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = {f"the gradient of {name}": p.grad for name, p in model.named_parameters() if p.requires_grad}
        model.zero_grad()
        raise_for([f"On {device.type}, in train mode: {p}." for p in not_finite({**found, **gradients})])
        unreached = [name for name, gradient in gradients.items() if gradient is None]
    more = f" and {len(unreached) - 3} more" if len(unreached) > 3 else ""
    return f"there is none: {', '.join(unreached[:3])}{more}" if unreached else None


def deterministic(bench: Bench) -> str | None:
    buffers = {name: buffer.clone() for name, buffer in bench.model.named_buffers()}
    first, second = (infer(bench.model, bench.inputs, seed) for seed in (0, 1))
    if (how := difference(second, first)) is not None:
        raise Fault(f"In eval mode, the same input gives another output the second time: {how}.")
    changed = [name for name, buffer in bench.model.named_buffers() if not equal(buffer, buffers[name])]
    raise_for([f"In eval mode, a forward pass changes the buffer {name}." for name in changed])
    return None


def round_trip(bench: Bench) -> str | None:
    expected = infer(bench.model, bench.inputs)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        again = bench.build(seed=1, **bench.tiny, weights=_saved(bench, folder))
        if (how := difference(infer(again, bench.inputs), expected)) is not None:
            raise Fault(
                f"After saving and loading by the builder, the outputs differ: {how}. Is there state that is "
                "neither a parameter nor a persistent buffer?"
            )
    return None


def _saved(bench: Bench, folder: str) -> Path:
    if not bench.takes("weights"):
        raise Skip("the builder takes no weights=")
    path = Path(folder) / "tiny.pth"
    torch.save(bench.model.state_dict(), path)
    return path


def num_classes(bench: Bench) -> str | None:
    other = 11 if bench.classifies and _logits(bench.model, bench) == 7 else 7
    arguments = {**bench.tiny, "num_classes": other}
    try:
        bench.build_on_meta(**arguments)
    except TypeError as e:
        if bench.classifies:
            raise Fault(f"The builder does not take num_classes={other}: {e}") from e
        raise Skip("the builder takes no num_classes") from e
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        model = bench.build(seed=1, **arguments, weights=_saved(bench, folder))
        report = load_report(model)
        if report is None:
            raise Fault("zoo.load_report(model) is None; decorate the builder with @zoo.builder(ITS_WEIGHTS, head=…).")
        own = model.state_dict()
        problems = not_finite({name: own[name] for name in report.reinitialised if name in own})
        if not report.reinitialised:
            problems.append(f"with num_classes={other}, the report says that nothing was re-initialised")
        problems += [
            f"{name} is neither equal to the file's nor re-initialised according to the report"
            for name, saved in bench.model.state_dict().items()
            if name not in report.reinitialised and not (name in own and equal(own[name], saved))
        ]
        if bench.classifies and (found := _logits(model, bench)) != other:
            problems.append(f"num_classes={other} gives {found} logits")
    raise_for([f"{problem}." for problem in problems])
    return None


def _logits(model: nn.Module, bench: Bench) -> int:
    return next(iter(infer(model, bench.inputs).values())).shape[-1]


def features(bench: Bench) -> str | None:
    try:
        _check_stages(bench, bench.build_on_meta())
    except Skip:
        raise
    except (RuntimeError, NotImplementedError):  # the model uses values of its tensors
        _check_stages(bench, bench.model)
        return "on the CPU: it does not run on the meta device"
    return None


def _check_stages(bench: Bench, model: nn.Module) -> None:
    if not getattr(model, "feature_info", None):
        raise Skip("it has no feature_info, which zoo.backbone requires")
    stages = feature_info(model)
    given = bench.spec.input.get("shape")
    images = noise(1, *given) if given else bench.steps.example(model, bench.spec.default_weights, FEATURE_SIDE)[0]
    if bench.task.input_ndim != 3 or not isinstance(images, Tensor):
        raise Skip(f"stages are only checked for models of images, not for {bench.spec.tasks[0]}")
    shape = tuple(images.shape)
    named = {stage.path or f"stage {i}": stage for i, stage in enumerate(stages)}
    with torch.no_grad():
        found = reader(model, named, range(len(stages)))(images.to(next(model.parameters()).device))
    raise_for([problem for name in named for problem in _stage_problems(name, named[name], found[name], shape)])


def _stage_problems(name: str, stage: Stage, output: Any, image: tuple[int, ...]) -> Iterator[str]:
    layout = layout_of(stage, output.shape if isinstance(output, Tensor) else ())
    if not isinstance(output, Tensor) or output.ndim != len(layout):
        what = f"a tensor of {output.ndim} dimensions" if isinstance(output, Tensor) else type(output).__name__
        yield f"feature_info: {name} returns {what}; expected {layout}."
        return
    sizes = dict(zip(layout, output.shape, strict=True))
    if sizes["C"] != stage.channels:
        yield f"feature_info: {name} has {sizes['C']} channels; declared are {stage.channels}."
    cells = sizes["L"] if "L" in sizes else sizes["H"] * sizes["W"]
    stride = math.sqrt(image[-2] * image[-1] / cells)
    # Borders and class tokens change it by less than half a step between strides, which are powers of two.
    if not 2**-0.5 < stride / stage.stride < 2**0.5:
        yield f"feature_info: {name} has a stride of about {stride:.3g}; declared is {stage.stride}."


def preprocessing(bench: Bench) -> str | None:
    for name, weights in members(bench.spec).items():
        _, prepared = prepare(bench, weights)
        found = {path: t for path, t in tensors(prepared, "the output of the transforms") if t.is_floating_point()}
        if not found:
            kind = type(prepared).__name__
            raise Fault(f"{name}: the transforms return a {kind} for a sample, without any floating point tensor.")
        raise_for([f"{name}: for a sample, {problem}." for problem in not_finite(found)])
        height, width = weights.min_size or (1, 1)
        shape = list(next(iter(found.values())).shape)
        right = len(shape) == 3 and shape[1] >= height and shape[2] >= width
        if isinstance(prepared, Tensor) and bench.task.input_ndim == 3 and not right:
            raise Fault(f"{name}: the transforms return a tensor {shape}; expected [C, H ≥ {height}, W ≥ {width}].")
        if not isinstance(bench.steps.collate([prepared, prepared]), tuple):
            raise Fault("The task's collate does not return a tuple of the model's positional arguments.")
    return None


def results(bench: Bench) -> str | None:
    weights = bench.spec.default_weights
    if weights is None:
        raise Skip("no weights are published")
    with torch.no_grad():
        outputs = bench.model(*copy.deepcopy(bench.inputs))
    loaded = [prepare(bench, weights)[0] for _ in bench.inputs[0]]
    found = bench.steps.decode(outputs, loaded, weights)
    if len(found) != len(loaded) or not isinstance(found[0], Result):
        raise Fault(f"decode() returns {short(found)} for {len(loaded)} inputs; expected one zoo.Result per input.")
    lines = found[0].lines(3)
    if not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
        raise Fault(f"lines(3) of a result returns {short(lines)}; expected a list of lines.")
    try:
        json.dumps(found[0].to_dict(3))
    except (TypeError, ValueError) as e:
        raise Fault(f"to_dict(3) of a result cannot be written as JSON: {e}.") from e
    return None


def capture(bench: Bench) -> str | None:
    if not bench.spec.capture:
        raise Skip("the manifest says capture=False")
    expected, note = infer(bench.model, bench.inputs), None
    try:
        try:
            found = infer(torch.compile(bench.model, backend="eager", fullgraph=True), bench.inputs)
        except torch._dynamo.exc.TorchDynamoException as e:
            note = f"torch.compile needs several graphs: {str(e).strip().splitlines()[0]}"
            torch.compiler.reset()
            found = infer(torch.compile(bench.model, backend="eager"), bench.inputs)
    finally:
        torch.compiler.reset()  # otherwise compiled code is kept forever
    if (how := difference(found, expected, CAPTURE_TOLERANCE)) is not None:
        raise Fault(f"torch.compile changes the result: {how}.")
    exported = torch.export.export(bench.model, copy.deepcopy(bench.inputs), strict=False).module()
    if (how := difference(infer(exported, bench.inputs), expected, CAPTURE_TOLERANCE)) is not None:
        raise Fault(f"torch.export changes the result: {how}.")
    return note
