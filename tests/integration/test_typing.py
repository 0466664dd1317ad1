"""Builders accept the arguments in their signatures and stubs, and reject others with a clear error."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo.loading.signatures import taken_by
from zoo.loading.without_memory import filled_by_file
from zoo.registry import get_model_builder

ROOT = Path(__file__).parents[2]


def own(name: str) -> Any:
    build: Any = get_model_builder(name)
    return getattr(build, "own", None) or build.__wrapped__.own


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_argument_of_a_signature_is_taken(name: str) -> None:
    builder = own(name)
    shown = inspect.signature(get_model_builder(name)).parameters
    assert list(shown)[:3] == ["weights", "progress", "mmap"]
    assert "num_classes" in shown or zoo.model_info(name).task == "optical-flow"
    rest = [n for n, p in shown.items() if p.kind is p.VAR_KEYWORD]
    assert bool(rest) == (name in ("fcn", "deeplabv3", "lraspp"))
    defaults = {
        n: p.default
        for n, p in shown.items()
        if p.default is not p.empty and n not in ("weights", "progress", "mmap", *rest)
    }
    if "backbone" in defaults and not isinstance(defaults["backbone"], str):
        defaults["backbone"] = "resnet18"
    with filled_by_file():
        builder.function(**defaults)


@pytest.mark.parametrize(
    "name", ["resnet50", "wide_resnet50_2", "densenet121", "ssd300_vgg16", "swin3d_t", "mobilenet_v3_large"]
)
def test_what_a_builder_gives_itself_is_none_of_its_arguments(name: str) -> None:
    taken, made = taken_by(own(name).function), inspect.unwrap(own(name).function).__annotations__["return"]
    scope = sys.modules[inspect.unwrap(own(name).function).__module__]
    for argument in inspect.signature(getattr(scope, made)).parameters.keys() - taken.parameters.keys():
        with pytest.raises(TypeError), filled_by_file():
            own(name).function(**{argument: None})


@pytest.mark.parametrize(
    ("name", "argument", "meant"),
    [
        ("resnet50", "num_clases", "num_classes"),
        ("squeezenet1_1", "dropuot", "dropout"),
        ("fasterrcnn_resnet50_fpn", "min_sizes", "min_size"),
        ("ssdlite320_mobilenet_v3_large", "width_mul", "width_mult"),
        ("lraspp_mobilenet_v3_large", "weights_backbon", "weights_backbone"),
        ("raft_small", "corelation", "correlation"),
        ("quantized_resnet18", "quantise", "quantize"),
        ("r3d_18", "in_channel", "in_channels"),
    ],
)
def test_a_misspelt_argument_is_told_before_anything_is_downloaded(
    name: str, argument: str, meant: str, offline: None
) -> None:
    entry = "DEFAULT" if zoo.model_info(name).weights else None
    for weights in (None, entry):
        with pytest.raises(InvalidArgument, match=rf"takes no argument '{argument}'\. Did you mean '{meant}'\?") as e:
            zoo.get_model(name, weights=weights, **{argument: 3})
        assert isinstance(e.value, TypeError)
        assert "It takes weights, progress, mmap, " in str(e.value)


def test_what_is_unpacked_gives_what_has_no_default() -> None:
    """Arguments that ``Model(*settings, **kwargs)`` unpacks are known; a constructor's own ``*args`` come from
    callers."""
    taken = taken_by(own("mobilenet_v3_large").function).parameters
    assert not {"inverted_residual_setting", "last_channel"} & taken.keys()
    assert {"num_classes", "block", "dropout", "width_mult"} <= taken.keys()
    quantized = taken_by(own("quantized_resnet18").function).parameters
    assert {"num_classes", "zero_init_residual"} <= quantized.keys()
    assert not {"block", "layers"} & quantized.keys()


def test_what_a_plugin_takes_out_of_its_keyword_arguments_is_taken() -> None:
    from torch import nn

    @zoo.builder()
    def odd(**kwargs: Any) -> nn.Module:
        width = kwargs.pop("width", 3)
        return nn.Conv2d(3, width, 1, **kwargs)

    assert odd(width=5).out_channels == 5
    assert odd(bias=False).bias is None
    with pytest.raises(TypeError, match=r"odd takes no argument 'biass'\. Did you mean 'bias'\?"):
        odd(biass=False)


def test_stubs_are_up_to_date() -> None:
    run = subprocess.run([sys.executable, ROOT / "scripts/stubs.py", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, f"python scripts/stubs.py writes them:\n{run.stdout}{run.stderr}"


@pytest.mark.slow
def test_a_misspelt_argument_is_a_type_error(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from zoo.models import resnet50\n"
        "from zoo.models.detection import fasterrcnn_resnet50_fpn\n"
        "from zoo_video import r3d_18\n"
        "resnet50(weights='DEFAULT', num_classes=3, in_channels=1).fc\n"
        "resnet50(num_clases=3)\n"
        "fasterrcnn_resnet50_fpn(min_sizes=3)\n"
        "r3d_18(in_channels='3')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--follow-imports=silent", str(program)]
    run = subprocess.run(mypy, capture_output=True, text=True, cwd=ROOT)
    told = [line.partition(": error: ") for line in run.stdout.splitlines() if str(program) in line and "error" in line]
    assert [line[0].rpartition(":")[2] for line in told] == ["5", "6", "7"], run.stdout + run.stderr


PIPELINES = """
import torch
import zoo
from collections.abc import Sequence
from typing import Any, assert_type
from zoo_classification.embedding import ImageEmbedding
from zoo_classification.task import Classification, ClassificationTask
from zoo_detection import Detection
from zoo_optical_flow.result import Flow
from zoo_segmentation.task import Segmentation
from zoo_transformers.results import Depth, PanopticSegmentation
from zoo_video.task import VideoLabels

model: torch.nn.Module = torch.nn.Identity()
name = str("timm/resnet50")
picture = torch.zeros(3, 8, 8)
assert_type(zoo.pipeline("resnet50"), zoo.Pipeline[Classification])
assert_type(zoo.pipeline("resnet50")("dog.jpg"), Classification)
assert_type(zoo.pipeline("resnet50", "IMAGENET1K_V1", "cpu", optimize=True)([picture]), list[Classification])
assert_type(zoo.pipeline("quantized_resnet50", quantize=True)(picture), Classification)
assert_type(zoo.pipeline()("dog.jpg"), Classification)
assert_type(zoo.pipeline("maskrcnn_resnet50_fpn")("street.jpg"), Detection)
assert_type(zoo.pipeline("fcn_resnet50")("street.jpg"), Segmentation)
assert_type(zoo.pipeline("r3d_18")("video.mp4"), VideoLabels)
assert_type(zoo.pipeline("raft_small")(("a.png", "b.png")), Flow)
for task in ("object-detection", "instance-segmentation", "keypoint-detection"):
    pass
assert_type(zoo.pipeline(name, task="object-detection")(picture), Detection)
assert_type(zoo.pipeline(model, task="instance-segmentation", min_score=0.3)([picture]), list[Detection])
assert_type(zoo.pipeline(task="keypoint-detection")(picture), Detection)
assert_type(zoo.pipeline(model, task="semantic-segmentation")(picture), Segmentation)
assert_type(zoo.pipeline("hf://org/name", task="depth-estimation")(picture), Depth)
assert_type(zoo.pipeline("hf://org/name", task="panoptic-segmentation")(picture), PanopticSegmentation)
assert_type(zoo.pipeline("hf://org/name", task="image-feature-extraction")(picture), ImageEmbedding)
assert_type(zoo.pipeline(name)(picture), zoo.Result)
assert_type(zoo.pipeline(model, task=zoo.get_task("object-detection"))(picture), zoo.Result)
assert_type(zoo.pipeline(model, task=ClassificationTask())(picture), Classification)


class Count(zoo.PictureTask):
    def decode(self, outputs: Any, inputs: Sequence[Any], weights: zoo.Weights) -> list[Depth]:
        raise NotImplementedError


assert_type(zoo.pipeline(model, task=Count()), zoo.Pipeline[Depth])
for source, result in zoo.pipeline("resnet50").stream(["a.jpg"]):
    assert_type(result, Classification | Exception)


def bare(ready: zoo.Pipeline) -> zoo.Pipeline[zoo.Result]:
    return zoo.pipeline("fcos_resnet50_fpn") if ready else zoo.pipeline(name)


zoo.pipeline("resnet50")("dog.jpg").topp  # line 55
zoo.pipeline("resnet50", optimise=True, optimize=3)  # line 56
zoo.pipeline(model, task=3)  # line 57
"""


@pytest.mark.slow
def test_results_have_the_type_of_the_task(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PIPELINES)
    mypy = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--follow-imports=silent", str(program)]
    run = subprocess.run(mypy, capture_output=True, text=True, cwd=ROOT)
    told = [line for line in run.stdout.splitlines() if str(program) in line and "error" in line]
    wrong = [i for i, line in enumerate(PIPELINES.splitlines(), 1) if "# line" in line]
    assert [int(line.split(":")[1]) for line in told] == wrong, run.stdout + run.stderr


def test_the_stub_of_pipeline_has_its_arguments_and_its_tasks() -> None:
    text = (ROOT / "core/src/zoo/__init__.pyi").read_text()
    overloads = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "pipeline"]
    named = list(inspect.signature(zoo.pipeline).parameters)
    assert len(overloads) > 10
    for each in overloads:
        arguments = each.args
        assert [a.arg for a in (*arguments.args, *arguments.kwonlyargs)] == named[:-1]
        assert arguments.kwarg is not None
    written = text.partition("# Written by")[2]
    for spec in (spec for record in zoo.plugins() if record.manifest for spec in record.manifest.tasks):
        if (record := next(r for r in zoo.plugins() if r.manifest and spec in r.manifest.tasks)).first_party:
            assert f'"{spec.name}"' in written, record.name


class Convolution(nn.Module):
    def __init__(self, width: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1, bias=bias)


@zoo.builder()
def to_itself(depth: int = 18, **kwargs: Any) -> nn.Module:
    return to_itself(depth=34, **kwargs) if depth == 18 else Convolution(**kwargs)


@zoo.builder()
def there(x: int = 1, **kwargs: Any) -> nn.Module:
    return back(y=x, **kwargs) if x == 1 else Convolution(**kwargs)


@zoo.builder()
def back(y: int = 1, z: int = 0, **kwargs: Any) -> nn.Module:
    return there(x=y + 1, **kwargs) if y == 1 else Convolution(**kwargs)


def _helper(n: int, kw: dict[str, Any]) -> nn.Module:
    return _helper(n - 1, kw) if n else Convolution(**kw)


@zoo.builder()
def by_a_helper(**kwargs: Any) -> nn.Module:
    return _helper(3, kwargs)


class Nested(nn.Module):
    def __init__(self, deep: int = 0, width: int = 1, **kw: Any) -> None:
        super().__init__()
        self.inner = Nested(deep - 1, width, **kw) if deep else nn.Identity()


@zoo.builder()
def of_itself(**kwargs: Any) -> Nested:
    return Nested(**kwargs)


@zoo.builder()
def for_ever(**kwargs: Any) -> nn.Module:
    return for_ever(**kwargs)


@pytest.mark.parametrize("first", [there, back])
def test_builders_that_pass_their_arguments_round(first: Any) -> None:
    taken_by.cache_clear()  # in either order
    own = {
        to_itself: ["depth", "width", "bias"],
        there: ["x", "z", "width", "bias"],
        back: ["y", "z", "width", "bias"],
        by_a_helper: ["width", "bias"],
        of_itself: ["deep", "width"],
        for_ever: [],
    }
    for build in [first, *own]:
        assert list(inspect.signature(build).parameters)[3:] == own[build]
    assert to_itself(width=5).conv.out_channels == 5
    assert there(bias=False).conv.bias is None
    for build in (to_itself, there, back, by_a_helper):
        with pytest.raises(InvalidArgument, match=r"takes no argument 'widht'\. Did you mean 'width'\?"):
            build(widht=5)
    with pytest.raises(RecursionError):
        for_ever(width=3)
