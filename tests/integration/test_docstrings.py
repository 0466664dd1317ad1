"""Examples in docstrings run, and print what they show."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import io
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pages
import pytest
import torch
import typer
from pages import ROOT
from PIL import Image
from torch import nn
from typer.main import get_command

import zoo
import zoo_detection
import zoo_quantized
from zoo import cli
from zoo.cli.app import app
from zoo.io import save_video
from zoo_classification.resnet import Bottleneck, ResNet
from zoo_classification.weights.resnet import ResNet50_Weights

# Docstring → why its example is not run; it is compiled.
NOT_RUN = {
    "zoo_quantized.conversion.convert": "downloads a published int8 file; tests/quantized/test_convert.py makes one",
    "zoo_tools.benchmarking.benchmark": "takes minutes; tests/tools/test_benchmarking.py measures a small model",
    "zoo_tools.exporting.export": "takes minutes; tests/tools/test_exporting.py exports small models",
    "zoo_tools.quantizing.quantize": "needs NNCF; tests/tools/test_quantizing.py runs it",
}
# Docstring → published weights that it uses, in whose place random numbers are put.
WEIGHTS = {
    "zoo": ("resnet50", "fcos_resnet50_fpn"),
    "zoo.running.optimization.optimize": ("resnet50",),
    "zoo_quantized.quantization.quantize": ("resnet18",),
}


SOURCES = [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]


def modules() -> Iterator[Any]:
    """Those whose sources have examples."""
    for path in sorted(SOURCES):
        if ">>> " in path.read_text():
            parts = path.with_suffix("").parts
            yield importlib.import_module(".".join(parts[parts.index("src") + 1 :]).removesuffix(".__init__"))


def examples() -> dict[str, list[doctest.Example]]:
    """The examples of every docstring that has some, by the full name of what it is of."""
    found: dict[str, list[doctest.Example]] = {}
    parser = doctest.DocTestParser()
    for module in modules():
        for name, value in [("", module), *vars(module).items()]:
            mine = inspect.isclass(value) or inspect.isfunction(value)
            if value is not module and not (mine and value.__module__ == module.__name__):
                continue
            full = f"{module.__name__}.{name}".rstrip(".")
            members = vars(value).items() if inspect.isclass(value) else ()
            for label, owner in [(full, value), *((f"{full}.{n}", m) for n, m in members if callable(m))]:
                text = getattr(owner, "__doc__", None)
                if isinstance(text, str) and ">>>" in text:
                    found[label] = parser.get_examples(text)
    return found


EXAMPLES = examples()


def test_examples_of_all_sources_are_found() -> None:
    written = sum(len(re.findall(r"^\s*>>> ", path.read_text(), re.MULTILINE)) for path in SOURCES)
    assert sum(map(len, EXAMPLES.values())) == written > 40
    assert NOT_RUN.keys() <= EXAMPLES.keys()
    assert WEIGHTS.keys() <= EXAMPLES.keys()


def test_no_docstring_has_code_in_another_form() -> None:
    """A fence, or a literal block of Python: nothing would run it."""
    for path in SOURCES:
        for text in re.findall(r'"""(.*?)"""', path.read_text(), re.DOTALL):
            assert not re.search(r"::\n\n +(import|from|zoo\.|>>>)|\.\. code", text), path


class Four(nn.Module):
    """A model with the two layers that examples name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer2, self.layer3, self.layer4 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.layer3(self.layer2(x)))


def of_detection() -> dict[str, Any]:
    good = {"boxes": torch.tensor([[10.0, 20, 60, 80]]), "labels": torch.tensor([1])}
    bad = {**good, "boxes": torch.tensor([[10.0, 200, 60, 80]])}
    return {"images": [torch.rand(3, 300, 100)] * 4, "targets": [good, good, good, bad]}


def of_metrics() -> dict[str, Any]:
    from zoo_segmentation.metrics import ConfusionMatrix

    target = torch.randint(21, (2, 8, 8))
    other = ConfusionMatrix(21)
    other.update(target, target)
    scores = nn.functional.one_hot(target, 21).permute(0, 3, 1, 2).float()
    return {"target": target, "another_process_matrix": other, "model": lambda x: {"out": scores}, "images": target}


def of_quantization() -> dict[str, Any]:
    pictures = [torch.rand(3, 64, 64) for _ in range(2)]
    return {"pictures": pictures, "preprocess": lambda picture: picture}


IMAGES = torch.rand(1, 3, 16, 16)
NAMES: dict[str, Callable[[], dict[str, Any]]] = {
    "zoo": lambda: {"cv2": SimpleNamespace(imread=lambda path: np.asarray(Image.open(path).convert("RGB"))[..., ::-1])},
    "zoo.cli.completion.candidates": lambda: {"root": get_command(app)},
    "zoo.cli.helping.reads_options": lambda: {"cli": cli, "typer": typer},
    "zoo.cli.working.working": lambda: {"cli": cli, "pictures": range(3)},
    "zoo.features.feature_extractor": lambda: {"model": Four(), "images": IMAGES},
    "zoo.features.IntermediateLayers": lambda: {"resnet": Four(), "images": IMAGES},
    "zoo.loading.builders.builder": lambda: {
        "ResNet50_Weights": ResNet50_Weights,
        "ResNet": ResNet,
        "Bottleneck": Bottleneck,
    },
    "zoo_detection.targets.check_targets": of_detection,
    "zoo_quantized.quantization.quantize": of_quantization,
    "zoo_segmentation.metrics.ConfusionMatrix": of_metrics,
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the files that examples name, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name in ("dog.jpg", "street.jpg", "pictures/1.jpg", "pictures/2.jpg"):
        shutil.copy(ROOT / "examples/images/photos/coffee.jpg", name)
    pytest.importorskip("av")
    save_video([(torch.zeros(3, 48, 64, dtype=torch.uint8), i / 15) for i in range(20)], tmp_path / "clip.mp4", 20 / 15)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def module_of(name: str) -> Any:
    while True:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(name)
        name = name.rpartition(".")[0]


@pytest.mark.usefixtures("desk", "local_names")
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(name)
    names = {
        **vars(module),
        "zoo": zoo,
        "zoo_detection": zoo_detection,
        "zoo_quantized": zoo_quantized,
        "torch": torch,
        "nn": nn,
        "__name__": "example",
    }
    if name not in NOT_RUN:
        torch.manual_seed(0)
        pages.put_in_place_of_downloads(*WEIGHTS.get(name, ()))
        monkeypatch.setenv("ZOO_OFFLINE", "1")
        names |= NAMES.get(name, dict)()
    for example in EXAMPLES[name]:
        code = compile(example.source, f"<{name}>", "single")
        if name in NOT_RUN:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        if example.want:
            said = r"\s+".join(".*".join(map(re.escape, word.split("…"))) for word in example.want.split())
            assert re.fullmatch(said, printed.getvalue().strip()), f"{example.source}{printed.getvalue()}"
