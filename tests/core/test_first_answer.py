"""The way to a first prediction, in fresh processes: what is imported, and what is reported before torch is
imported."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from PIL import Image

import zoo

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPILER = ("torch._dynamo", "torch._inductor", "sympy", "torch.distributed.fsdp")
# Of each task a model whose weights are in its wheel, and an input.
BUNDLED = {
    "image-classification": ("squeezenet1_1", "DIGITS_V1", ["images/digits/digit_7.png"]),
    "int8": ("quantized_shufflenet_v2_x0_5", "DIGITS_V1", ["images/digits/digit_7.png"]),
    "semantic-segmentation": ("lraspp_mobilenet_v3_large", "SHAPES_V1", ["images/shapes.png"]),
    "object-detection": ("ssdlite320_mobilenet_v3_large", "SHAPES_V1", ["images/shapes.png"]),
    "video-classification": ("mc3_tiny", "MOVING_SHAPES_V1", ["videos/moving_shapes.gif"]),
    "optical-flow": ("raft_small", "SHAPES_V1", ["images/flow/frame1.png", "images/flow/frame2.png"]),
}


def fresh(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("kind", BUNDLED)
def test_a_first_prediction_imports_no_compiler(kind: str, tmp_path: Path) -> None:
    model, weights, files = BUNDLED[kind]
    code = """
        import sys
        from zoo.cli import main
        status = main(sys.argv[1:])
        print("imported:", *(name for name in sys.modules if name in {compiler!r} or name == "torch.onnx"))
        sys.exit(status)
    """.replace("{compiler!r}", repr(COMPILER))
    paths = [EXAMPLES / file for file in files]
    done = fresh(code, "predict", *paths, "--model", model, "--weights", weights, "--output", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "imported:"
    assert list(tmp_path.iterdir())


def test_modules_of_detection_import_no_compiler() -> None:
    code = """
        import importlib, pkgutil, sys, zoo_detection
        known = {"evaluation", "export", "onnx", "training", "data", "coco_files"}  # not on the way to a prediction
        for module in pkgutil.iter_modules(zoo_detection.__path__):
            if module.name not in known and not module.ispkg:
                importlib.import_module(f"zoo_detection.{module.name}")
        assert "zoo_detection.mask_rcnn" in sys.modules
        print(*(name for name in sys.modules if name in {compiler!r}))
    """.replace("{compiler!r}", repr(COMPILER))
    done = fresh(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


@pytest.mark.parametrize(("arguments", "said"), [
    (["nope.png"], "'nope.png' cannot be read: it does not exist."),
    (["nope.png", "gone.png", "--json"], "'gone.png' cannot be read: it does not exist."),
    (["{picture}", "--weights", "IMAGENET1K_V9"], "Did you mean 'IMAGENET1K_V1'"),
    (["{picture}", "--weights", "ResNet18_Weights.NONE"], "resnet18 cannot load weights='ResNet18_Weights.NONE'"),
    (["{picture}", "--weights", "mine.pth"], "There is no file mine.pth"),
    (["{picture}", "--model", "resnet81"], "There is no model 'resnet81'. Did you mean"),
    (["{picture}", "--tpo", "3"], "Did you mean '--top'"),
    (["{empty}"], "has no inputs; expected files of"),
    (["{picture}", "--output", "{picture}"], "File exists"),
])  # fmt: skip
def test_mistakes_are_told_without_torch(arguments: list[str], said: str, tmp_path: Path) -> None:
    """And so before anything could be downloaded: the weights are not here, and the default is a URL."""
    picture, empty = tmp_path / "a.png", tmp_path / "empty"
    Image.new("RGB", (8, 8)).save(picture)
    empty.mkdir()
    code = """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("torch", "PIL", "numpy"):
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Blocked())
        from zoo.cli import main
        sys.exit(main(sys.argv[1:]))
    """
    given = [argument.format(picture=picture, empty=empty) for argument in arguments]
    model = [] if "--model" in given else ["--model", "resnet18"]
    done = fresh(code, "predict", *given, *model)
    assert done.returncode in (1, 2), done
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_missing_file_among_others_is_told_first(tmp_path: Path) -> None:
    digit = EXAMPLES / "images/digits/digit_7.png"
    code = "import sys; from zoo.cli import main; sys.exit(main(sys.argv[1:]))"
    done = fresh(
        code, "predict", digit, tmp_path / "gone.png", "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--json"
    )
    assert done.returncode == 1
    assert done.stderr.count("gone.png") == 1
    assert '"error"' in done.stdout.splitlines()[-2]  # in its place


def test_a_pipeline_for_one_picture_runs_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    forward = torch.nn.Sequential.forward

    def noted(self, x):
        runs.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Sequential, "forward", noted)
    pipe = zoo.pipeline("squeezenet1_1", "DIGITS_V1", "cpu")
    assert runs == []
    assert pipe(EXAMPLES / "images/digits/digit_7.png").label == "7"
    assert runs == [1, 1]  # its two sequences of layers
    assert pipe.optimization is None


def test_a_pipeline_is_optimised_when_it_has_many_inputs() -> None:
    pipe = zoo.pipeline("lraspp_mobilenet_v3_large", "SHAPES_V1", "cpu")
    before = pipe.model
    norms = sum(isinstance(m, torch.nn.BatchNorm2d) for m in before.modules())
    assert norms
    picture = EXAMPLES / "images/shapes.png"
    plain = pipe(picture)
    pipe([picture] * 2)
    assert pipe.model is before
    assert pipe.optimization is None
    pictures = torch.zeros(32, 3, 64, 64, dtype=torch.uint8)
    pipe(pictures)
    assert pipe.optimization is not None
    assert len(pipe.optimization.folded) == norms
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in pipe.model.modules())
    assert norms == sum(isinstance(m, torch.nn.BatchNorm2d) for m in before.modules())  # which others may be running
    assert (pipe(picture).class_map != plain.class_map).float().mean() < 1e-3
