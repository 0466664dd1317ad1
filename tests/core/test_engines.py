"""Engines: what comes back is the model in all but what computes it, and anyone can bring one in a few lines."""

from __future__ import annotations

import copy
import itertools
import pickle
import shutil
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.errors import ContractError, EngineError, InvalidArgument, MissingPlugin
from zoo.running import clock
from zoo.running.engines import KEPT

PLUGIN = """
    @zoo.hookimpl
    def zoo_manifest():
        return zoo.Manifest(
            api_version=1,
            engines=[
                zoo.Engine("tracing", "tracing_engine:build", summary="torch.jit.trace."),
                zoo.Engine("wrong", "tracing_engine:wrong"),
                zoo.Engine("broken", "tracing_engine:broken"),
                zoo.Engine("absent", "tracing_engine:build", requires=("no_such_module",), install="acme[absent]"),
                zoo.Engine("torch", "tracing_engine:wrong"),
            ],
        )
"""
# All that an engine is.
ENGINE = """
import torch

built = []

def build(module, arguments, *, dtype, dynamic):
    built.append((tuple(tuple(t.shape) for t in arguments), dtype, dynamic))
    return torch.jit.trace(module, arguments)

def wrong(module, arguments, *, dtype, dynamic):
    return lambda *tensors: [t * 1.5 for t in module(*tensors)]

def broken(module, arguments, *, dtype, dynamic):
    raise RuntimeError("out of order")
"""


@pytest.fixture
def engines(plugin_folder: Any) -> Any:
    plugin_folder.install("acme", PLUGIN)
    (plugin_folder.path / "tracing_engine.py").write_text(ENGINE)
    zoo.refresh()
    yield lambda: sys.modules["tracing_engine"].built
    sys.modules.pop("tracing_engine", None)


class Structured(nn.Module):
    """Dicts, lists, numbers and None, in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, batch: dict[str, Any], scale: float = 1.0) -> dict[str, Any]:
        features = [self.conv(x) * scale for x in batch["images"]]
        return {"features": features, "n": len(features), "none": None, "mean": (features[0].mean(), batch["offset"])}


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]))


def equal(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of tracing
def test_a_strangers_engine_takes_and_returns_what_the_model_does(engines: Any) -> None:
    model = Structured().eval()
    batch = {"images": [images(1, 3, 8, 8), images(2, 3, 9, 7)], "offset": torch.tensor(3)}
    fast = zoo.optimize(model, (batch,), engine="tracing")
    report: Any = fast.optimization_report
    assert (report.engine, report.taken, set(report.milliseconds)) == ("tracing", "tracing", {"plain", "tracing"})
    assert len(engines()) == 1
    with torch.inference_mode():
        equal(fast(batch), model(batch))
        equal(fast(batch, scale=2.0), model(batch, scale=2.0))  # another number is another program
    assert len(engines()) == 2
    other = {"images": [images(4, 3, 8, 8)], "offset": torch.tensor(1)}
    equal(fast(other), model(other).copy())


@pytest.mark.filterwarnings("ignore")
def test_programs_are_built_for_shapes_and_a_few_are_kept(engines: Any) -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    fast = zoo.optimize(model, images(1, 3, 8, 8), engine="tracing", measure=False)
    for side in (8, 9, 8, 9, 10):
        equal(fast(images(1, 3, side, 8)), model(images(1, 3, side, 8)))
    assert [sizes for sizes, _, _ in engines()] == [((1, 3, side, 8),) for side in (8, 9, 10)]
    assert engines()[-1][2] == [{2}]  # the dimensions that varied
    for side in range(20, 20 + KEPT):
        fast(images(1, 3, side, 8))
    assert len(fast._programs) == KEPT
    fast(images(1, 3, 8, 8))
    assert len(engines()) == 3 + KEPT + 1  # that one was forgotten
    assert fast(torch.empty(0, 3, 8, 8)).shape == (0, 4, 6, 6)


@pytest.mark.filterwarnings("ignore")
def test_it_is_for_inference_and_can_be_copied_and_pickled(engines: Any) -> None:
    model = zoo.get_model("squeezenet1_1", weights="DIGITS_V1")
    fast = zoo.optimize(model, engine="tracing", measure=False)
    x = images(2, 3, 64, 64)
    expected = model.eval()(x)
    for other in (fast, copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        equal(other(x), expected)
        assert zoo.loading.loaded_weights(other) == zoo.loading.loaded_weights(model)
        assert zoo.loading.task_of(other).name == "image-classification"
        assert not other.training
        other.eval()
        with pytest.raises(InvalidArgument, match="only for inference"):
            other.train()
    assert not any(p.requires_grad for p in fast.parameters())
    assert not {p.data_ptr() for p in fast.parameters()} & {p.data_ptr() for p in model.parameters()}
    pipe = zoo.pipeline(fast, device="cpu", optimize=False)
    digit = (images(3, 64, 64) * 255).to(torch.uint8)
    equal(pipe(digit).probabilities, zoo.pipeline(model, device="cpu")(digit).probabilities)


@pytest.mark.filterwarnings("ignore")
def test_threads_build_one_program(engines: Any) -> None:
    model = nn.Conv2d(3, 4, 3).eval()
    fast = zoo.optimize(model, images(1, 3, 8, 8), engine="tracing", measure=False)
    found: list[Tensor] = []
    threads = [threading.Thread(target=lambda: found.append(fast(images(2, 3, 8, 8)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines()) == 2
    for each in found:
        equal(each, model(images(2, 3, 8, 8)))


def test_what_an_engine_gets_wrong_is_refused_with_the_figures(engines: Any) -> None:
    model, x = nn.Conv2d(3, 4, 3).eval(), images(1, 3, 8, 8)
    with pytest.raises(EngineError, match=r"engine 'wrong': an output would differ by .* and 1\.0e-04 is allowed"):
        zoo.optimize(model, x, engine="wrong")
    with pytest.raises(EngineError, match=r"'broken' cannot compute Conv2d: RuntimeError: out of order"):
        zoo.optimize(model, x, engine="broken")
    net = nn.Sequential(model)
    net.compute_parts = ("0",)
    with pytest.raises(EngineError):
        zoo.optimize(net, x, engine="wrong", inplace=True)
    assert net[0] is model  # as it was


def test_engines_are_found_by_name_and_what_is_missing_is_said(engines: Any) -> None:
    model, x = nn.Conv2d(3, 4, 3).eval(), images(1, 3, 8, 8)
    with pytest.raises(MissingPlugin, match=r"'absent' needs no_such_module, .*: pip install 'acme\[absent\]'"):
        zoo.optimize(model, x, engine="absent")
    with pytest.raises(InvalidArgument, match=r"no engine 'tracin'.*Did you mean 'tracing'"):
        zoo.optimize(model, x, engine="tracin")
    names = [name for name, _, _ in registry.engines()]
    assert names[:2] == ["torch", "compile"]
    assert "acme/torch" in names  # the core's own names cannot be taken
    assert zoo.optimize(model, x, engine="torch").optimization_report.engine == "torch"
    with pytest.raises(EngineError):
        zoo.optimize(model, x, engine="acme/torch")


def test_an_engine_that_follows_no_contract() -> None:
    from zoo.contract import check_manifest

    for engine, said in (
        (zoo.Engine("fast", "m:f", requires="onnx"), "requires is 'onnx'"),  # type: ignore[arg-type]
        (zoo.Engine("fast", "m:f", summary=3), "expected text as summary and install"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ContractError, match=said):
            check_manifest(zoo.Manifest(api_version=1, engines=[engine]))


def test_compile_without_a_compiler_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPlugin, match="needs a C\\+\\+ compiler"):
        zoo.optimize(nn.Conv2d(3, 4, 3), images(1, 3, 8, 8), engine="compile")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_compile(dtype: str | None) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 3)).eval()
    fast = zoo.optimize(model, images(2, 3, 32, 32), engine="compile", dtype=dtype)
    x = images(3, 3, 32, 32)
    with torch.inference_mode():
        found, expected = fast(x), model(x)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < (1e-4 if dtype is None else 0.1) * expected.std()


@pytest.mark.parametrize("arguments", [["--engine", "nope"], ["--dtype", "int4"], ["--compile", "--engine", "torchy"]])
def test_the_command_line_tells_mistakes_without_torch(arguments: list[str], tmp_path: Any) -> None:
    picture = tmp_path / "a.png"
    from PIL import Image

    Image.new("RGB", (8, 8)).save(picture)
    code = (
        "import sys; from zoo.cli import main; status = main(sys.argv[1:]); print('torch' in sys.modules); "
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "predict", str(picture), "--model", "resnet18", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode in (1, 2), done.stdout) == (True, "False\n")
    assert arguments[-1] in done.stderr


def test_the_clock_waits_for_the_threads_of_the_engine_before() -> None:
    runs: list[tuple[int, float]] = []
    clock.in_turns([lambda: runs.append((0, time.monotonic())), lambda: runs.append((1, time.monotonic()))],
                   torch.device("cpu"), pause=0.05)  # fmt: skip
    changes = [b[1] - a[1] for a, b in itertools.pairwise(runs[2:]) if a[0] != b[0]]
    assert min(changes) >= 0.05
    assert len(runs) == 2 + 2 * 2 * clock.ROUNDS, "each time is of a second run"
