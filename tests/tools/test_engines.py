"""ONNX Runtime and OpenVINO as engines, with real models: any batch size, also detectors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from reference.fill import fill_, images
from torch import Tensor, nn

import zoo
from zoo import registry
from zoo.cli import main
from zoo.errors import InvalidArgument, MissingPlugin, NonFiniteResult

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGIT = EXAMPLES / "images/digits/digit_7.png"
SHAPES = EXAMPLES / "images/shapes.png"


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


needs_openvino = pytest.mark.skipif(not installed("openvino"), reason="openvino is not installed: make test-engines")
ENGINES = [
    pytest.param("onnxruntime", None, id="onnxruntime"),
    pytest.param("openvino", None, id="openvino", marks=needs_openvino),
    pytest.param("openvino", "bfloat16", id="openvino-bfloat16", marks=needs_openvino),
]


def off(a: Tensor, b: Tensor) -> float:
    """The largest difference, in standard deviations of ``b``."""
    return ((a - b).abs().max() / b.std()).item()


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
@pytest.mark.parametrize(
    "name",
    ["resnet18", *(pytest.param(n, marks=pytest.mark.slow) for n in ("mobilenet_v3_small", "shufflenet_v2_x0_5"))],
)
def test_families_at_any_batch(name: str, engine: str, dtype: str | None) -> None:
    model = fill_(zoo.get_model(name, weights=None, num_classes=10)).eval()
    x = (images((3, 3, 64, 64), seed=3) - 0.45) / 0.225
    fast = zoo.optimize(model, x[:1], engine=engine, dtype=dtype, measure=False)
    report: Any = fast.optimization_report
    assert (report.engine, report.dtype, report.taken) == (engine, dtype or "", engine)
    for batch in (x[:1], x, x[:2]):
        with torch.inference_mode():
            found, expected = fast(batch), model(batch)
        assert (found.dtype, found.shape) == (torch.float32, expected.shape)
        assert off(found, expected) < (1e-4 if dtype is None else 0.3)
    assert len(fast._programs) == 1  # the graph has a variable batch size
    if dtype is not None:
        assert off(found, expected) > 1e-4  # it does compute in lower precision


@pytest.mark.parametrize(("engine", "dtype"), ENGINES[:2])
def test_other_sizes_of_images(engine: str, dtype: str | None) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2)).eval()
    fast = zoo.optimize(model, torch.rand(1, 3, 16, 16), engine=engine, measure=False)
    for shape in ((1, 3, 16, 16), (2, 3, 20, 16), (1, 3, 24, 30), (3, 3, 33, 18)):
        x = torch.rand(shape)
        torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-5)
    assert len(fast._programs) <= 3  # dimensions known to vary are variable


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_a_pipeline(engine: str, dtype: str | None) -> None:
    plain = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu")
    pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu", engine=engine, dtype=dtype)
    folder = EXAMPLES / "images/digits"
    found, expected = pipe(folder), plain(folder)
    assert [result.label for result in found] == [result.label for result in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a.probabilities - b.probabilities).abs().max() < (1e-4 if dtype is None else 0.05)


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        pytest.param("torch", "bfloat16", id="torch-bfloat16"),
        *(pytest.param(*e.values, id=e.id, marks=[*e.marks, pytest.mark.slow]) for e in ENGINES),
    ],
)
def test_a_detector(engine: str, dtype: str | None) -> None:
    """Boxes are computed in single precision for any precision of the features."""
    plain = zoo.pipeline("ssdlite320_mobilenet_v3_large", "SHAPES_V1", "cpu")
    pipe = zoo.pipeline("ssdlite320_mobilenet_v3_large", "SHAPES_V1", "cpu", engine=engine, dtype=dtype)
    assert type(pipe.model) is type(plain.model)
    smaller = Image.open(SHAPES).resize((150, 120))
    for picture in (SHAPES, smaller):
        found, expected = pipe(picture).above(0.5), plain(picture).above(0.5)
        assert found.names == expected.names
        assert len(found) >= 4
        assert found.boxes.dtype == torch.float32
        assert (found.boxes - expected.boxes).abs().max() < (0.01 if dtype is None else 1.5)


TASKS: dict[str, tuple[str, str, Any, str]] = {
    "segmentation": ("lraspp_mobilenet_v3_large", "SHAPES_V1", SHAPES, "class_map"),
    "video": ("mc3_tiny", "MOVING_SHAPES_V1", EXAMPLES / "videos/moving_shapes.gif", "probabilities"),
}


@pytest.mark.parametrize("task", TASKS)
def test_other_tasks(task: str) -> None:
    name, weights, source, field = TASKS[task]
    found = zoo.pipeline(name, weights, "cpu", engine="onnxruntime")(source)
    expected = zoo.pipeline(name, weights, "cpu")(source)
    torch.testing.assert_close(getattr(found, field), getattr(expected, field), rtol=1e-3, atol=1e-4)


def test_results_that_are_not_finite_are_told() -> None:
    """Also if the task watches a submodule, which the engine computes with the rest."""
    model = zoo.get_model("lraspp_mobilenet_v3_large", weights="SHAPES_V1")
    pipe = zoo.pipeline(model, device="cpu", engine="onnxruntime")
    assert pipe(SHAPES).class_map.any()
    pipe.model.source.classifier.low_classifier.bias.data.fill_(float("nan"))
    pipe.model._forget()  # the program has the old parameters
    with pytest.raises(NonFiniteResult):
        pipe(SHAPES)


def test_what_they_cannot() -> None:
    model, x = nn.Conv2d(3, 4, 3).eval(), torch.rand(1, 3, 8, 8)
    with pytest.raises(InvalidArgument, match="'onnxruntime' computes in float32"):
        zoo.optimize(model, x, engine="onnxruntime", dtype="bfloat16")
    if not installed("openvino"):
        with pytest.raises(MissingPlugin, match=r"needs openvino, .*pip install 'zoo-tools\[openvino\]'"):
            zoo.optimize(model, x, engine="openvino")


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    found = {name: (engine, record) for name, engine, record in registry.engines()}
    assert list(found) == ["torch", "compile", "onnxruntime", "openvino"]
    engine, record = found["openvino"]
    assert (engine.requires, record.name) == (("openvino",), "tools")
    main(["doctor", "--json"])
    told = capsys.readouterr().out
    (facts,) = [facts for facts in json.loads(told)["engines"] if facts["name"] == "openvino"]
    assert facts["missing"] == ([] if installed("openvino") else ["openvino"])
    assert ("zoo-tools[openvino]" in told) == (not installed("openvino"))


def test_evaluate_tells_precisions_apart(tmp_path: Path) -> None:
    """Records of one precision cannot be resumed in another."""
    for label in "37":
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "a.png").write_bytes((EXAMPLES / f"images/digits/digit_{label}.png").read_bytes())
    arguments: dict[str, Any] = {"weights": "DIGITS_V1", "device": "cpu", "output": tmp_path / "out"}
    plain = zoo.evaluate("squeezenet1_1", tmp_path / "data", **arguments)
    with pytest.raises(InvalidArgument, match="other options"):
        zoo.evaluate("squeezenet1_1", tmp_path / "data", dtype="bfloat16", **arguments)
    arguments["output"] = tmp_path / "half"
    half = zoo.evaluate("squeezenet1_1", tmp_path / "data", dtype="bfloat16", **arguments)
    arguments["output"] = None
    by_engine = zoo.evaluate("squeezenet1_1", tmp_path / "data", engine="onnxruntime", **arguments)
    assert plain.metrics["acc@1"] == half.metrics["acc@1"] == by_engine.metrics["acc@1"] == 100


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["predict", str(DIGIT), "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--top", "1"]
    for more in (["--engine", "onnxruntime"], ["--dtype", "bfloat16"]):
        assert main([*arguments, *more]) == 0
        assert capsys.readouterr().out.split()[-1] == "7"
