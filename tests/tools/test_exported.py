"""Exported files as models: variable sizes, preprocessing, descriptions; no code in them is executed."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import zoo
from zoo.errors import CheckpointError, ExportError, InvalidArgument, MissingPlugin
from zoo.registry import offers
from zoo_tools.formats import torch_export
from zoo_tools.stages import Stages

ROOT = Path(__file__).parents[2]
PHOTOS = [ROOT / "examples/images/photos" / f"{name}.jpg" for name in ("camera", "chelsea", "coffee")]
SHAPES = ROOT / "examples/images/shapes.png"
DIGITS = sorted((ROOT / "examples/images/digits").rglob("*.png"))[:6]
TOLERANCE = 0.005  # of probabilities with preprocessing in the file: its pixels differ from Pillow's by rounding
FILES = ["out.onnx", "out.pt2", "out.xml"]


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    needed = {"out.onnx": "onnxruntime", "out.xml": "openvino"}.get(request.param)
    if needed:
        pytest.importorskip(needed)
    path: Path = tmp_path / request.param
    return path


@pytest.fixture(params=["out.pt2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("out.onnx", "out.xml"))])
def some(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Like ``file``, for slow tests: one format in the default suite."""
    needed = {"out.onnx": "onnxruntime", "out.xml": "openvino"}.get(request.param)
    if needed:
        pytest.importorskip(needed)
    path: Path = tmp_path / request.param
    return path


def digits() -> nn.Module:
    return zoo.get_model("squeezenet1_1", weights="DIGITS_V1").eval()


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


# ── variable sizes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_free_sizes_is_the_model_at_all_of_them(file: Path) -> None:
    report = zoo.export("squeezenet1_1", file, weights="DIGITS_V1", dynamic=("batch", "height", "width"))
    assert report.inputs == {"image": "float32 [batch, 3, height, width]"}
    assert report.outputs == {"output": "float32 [batch, 10]"}
    opened, model = zoo.get_model(file), digits()
    for shape in ((1, 3, 64, 64), (3, 3, 40, 100), (2, 3, 121, 57)):
        with torch.no_grad():
            torch.testing.assert_close(opened(noise(*shape)), model(noise(*shape)), atol=1e-4, rtol=1e-4)


def test_a_batch_goes_through_a_file_of_one_picture_too(file: Path) -> None:
    zoo.export("squeezenet1_1", file, weights="DIGITS_V1")
    opened = zoo.get_model(file)
    with torch.no_grad():
        torch.testing.assert_close(opened(noise(3, 3, 64, 64)), digits()(noise(3, 3, 64, 64)), atol=1e-4, rtol=1e-4)
    with pytest.raises(InvalidArgument, match=r"takes image only as 1×3×64×64, not 1×3×32×32. Export it with var"):
        opened(noise(1, 3, 32, 32))


class Pools(nn.Module):
    """Its second pooling has more than one cell, as in VGG and AlexNet."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((7, 5)), nn.Flatten(), nn.Linear(140, 3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


def test_adaptive_pooling_takes_any_size(file: Path) -> None:
    model = Pools().eval()
    options: dict[str, Any] = {"task": "image-classification", "image_size": 32}
    zoo.export(model, file, dynamic="batch,height,width", **options)
    assert "forward" not in vars(model.net[1]), "the model is unchanged"
    opened = zoo.get_model(file)
    for shape in ((1, 3, 32, 32), (2, 3, 9, 61), (3, 3, 40, 7)):
        with torch.no_grad():
            torch.testing.assert_close(opened(noise(*shape)), model(noise(*shape)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "options", "match"),
    [
        ("vit_b_16", {"dynamic": "height"}, r"VisionTransformer takes only pictures of 224×224 pixels.*with_preproc"),
        (
            "resnet18",
            {"dynamic": "frames", "image_size": 64},
            r"dynamic has frames; the axes of ResNet that can be free are batch, height, width",
        ),
        ("resnet18", {"dynamic": ("a b",)}, r"dynamic is \('a b',\); expected names of axes"),
        ("resnet18", {"opset": 17}, "opset is 17; expected an integer from 18 to 23"),
        ("resnet18", {"with_preprocessing": True}, "the preprocessing of resnet18 is not known"),
    ],
)
def test_what_a_model_cannot_is_told_before_it_is_exported(
    model: str, options: dict[str, Any], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.export.export", lambda *_, **__: pytest.fail("it was exported"))
    with pytest.raises(InvalidArgument, match=match):
        zoo.export(model, tmp_path / "out.onnx", weights=None, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_opset_is_of_onnx_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="opset is an option of ONNX; it does not apply to the format 'torch-"):
        zoo.export("resnet18", tmp_path / "out.pt2", weights=None, opset=18)


@pytest.mark.parametrize("opset", [18, 21])
def test_the_opset_is_the_one_that_is_asked_for(opset: int, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    report = zoo.export("squeezenet1_1", tmp_path / "out.onnx", weights="DIGITS_V1", opset=opset)
    assert [one.version for one in onnx.load(report.path).opset_import if not one.domain] == [opset]
    assert report.facts["opset"] == opset


def test_half_is_in_the_file_and_not_outside(file: Path) -> None:
    full = zoo.export("squeezenet1_1", file.with_stem("full"), weights="DIGITS_V1")
    report = zoo.export("squeezenet1_1", file, weights="DIGITS_V1", half=True, dynamic="batch")
    assert report.inputs == {"image": "float32 [batch, 3, 64, 64]"}
    assert report.outputs == {"output": "float32 [batch, 10]"}
    weights = [max(path.stat().st_size for path in one.files) for one in (report, full)]
    if file.suffix != ".pt2":  # .pt2 also contains its example
        assert weights[0] < 0.6 * weights[1]
    got = zoo.get_model(file)(noise(2, 3, 64, 64))
    with torch.no_grad():
        want = digits()(noise(2, 3, 64, 64))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, atol=0.02 * want.abs().max().item(), rtol=0)
    assert zoo.get_model("squeezenet1_1", weights="DIGITS_V1").classifier[1].weight.dtype == torch.float32


# ── preprocessing in the file ────────────────────────────────────────────────────────────────────────────────────


def test_pixels_of_photographs_give_the_pipelines_probabilities(some: Path) -> None:
    report = zoo.export("efficientnet_lite0", some, with_preprocessing=True)
    assert report.inputs == {"image": "uint8 [1, height, width, 3]"}
    assert report.outputs == {"probabilities": "float32 [1, 1000]"}
    want = zoo.pipeline("efficientnet_lite0", optimize=False)(PHOTOS)
    got = zoo.pipeline(some)(PHOTOS)
    run = zoo.registry.format_of(some)
    plain = zoo.contract.load_object(run.open)(some)
    for photo, a, b in zip(PHOTOS, want, got, strict=True):
        assert a.label == b.label
        torch.testing.assert_close(b.probabilities, a.probabilities, atol=TOLERANCE, rtol=0)
        pixels = torch.from_numpy(np.array(Image.open(photo).convert("RGB")))[None]
        torch.testing.assert_close(plain(pixels)["probabilities"][0], b.probabilities, atol=1e-5, rtol=0)


def test_pixels_of_a_model_of_one_size_may_have_any(tmp_path: Path) -> None:
    """Like a transformer with a fixed grid."""
    model = zoo.get_model("vit_b_16", weights=None, image_size=64, num_classes=5).eval()
    preset = zoo.Preset("zoo.transforms:ImageClassification", {"crop_size": 64, "resize_size": 72})
    model._weights = zoo.Weights(url="here", transforms=preset, categories=list("abcde"))
    zoo.export(model, tmp_path / "out.pt2", with_preprocessing=True, task="image-classification")
    want = zoo.pipeline(model, optimize=False)(PHOTOS)
    for a, b in zip(want, zoo.pipeline(tmp_path / "out.pt2")(PHOTOS), strict=True):
        torch.testing.assert_close(b.probabilities, a.probabilities, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("products", [False, True])
def test_a_preset_in_a_graph_makes_the_pixels_of_the_preset(mode: str, products: bool) -> None:
    from zoo.transforms.graph import in_graph

    preset = zoo.Preset(
        "zoo.transforms:ImageClassification",
        {"crop_size": 33, "resize_size": 40, "mean": (0.0,) * 3, "std": (1.0,) * 3, "interpolation": mode},
    )
    module = in_graph(preset)
    module.by_products = products
    for height, width in ((40, 40), (97, 61), (61, 97), (30, 35), (41, 200)):
        pixels = (noise(height, width, 3) * 255).to(torch.uint8)
        want = preset()(pixels.movedim(2, 0)) * 255
        got = module(pixels[None])[0] * 255
        assert got.shape == want.shape
        off = (got - want).abs()
        assert off.max() <= 1.01  # if 0.5 is rounded differently
        assert (off > 0.5).float().mean() < 0.002


def test_segmentation_gives_the_classes_of_the_pictures_own_pixels(some: Path) -> None:
    torch.manual_seed(0)
    model = zoo.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=4).eval()
    preset = zoo.Preset("zoo.transforms:SemanticSegmentation", {"resize_size": 96})
    model._weights = zoo.Weights(url="here", transforms=preset, categories=list("abcd"))
    with torch.no_grad():  # so that classes differ between locations
        for layer in (model.classifier.low_classifier, model.classifier.high_classifier):
            layer.weight.mul_(50)
    zoo.export(model, some, with_preprocessing=True, task="semantic-segmentation")
    want = zoo.pipeline(model, optimize=False)(PHOTOS)
    for a, b in zip(want, zoo.pipeline(some)(PHOTOS), strict=True):
        assert a.class_map.shape == b.class_map.shape
        assert (a.class_map != b.class_map).float().mean() < 0.02
        assert list(b.categories) == list("abcd")


# ── detection ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pixels", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_detectors_take_batches_of_any_size(some: Path, pixels: bool) -> None:
    options: dict[str, Any] = {"with_preprocessing": True} if pixels else {"dynamic": "batch,height,width"}
    report = zoo.export("ssdlite320_mobilenet_v3_large", some, weights="SHAPES_V1", max_detections=20, **options)
    first = "uint8 [1, height, width, 3]" if pixels else "float32 [batch, 3, height, width]"
    assert report.inputs == {"image": first}
    assert report.outputs["count"] == f"int64 [{1 if pixels else 'batch'}]"
    picture = Image.open(SHAPES).convert("RGB")
    pictures = [picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), picture.resize((211, 340)), picture]
    options = {"weights": "SHAPES_V1", "optimize": False, "detections_per_img": 20}
    want = zoo.pipeline("ssdlite320_mobilenet_v3_large", **options)(pictures)
    got = zoo.pipeline(some)(pictures)
    for a, b in zip(want, got, strict=True):
        a, b = a.above(0.5), b.above(0.5)
        assert len(a) == len(b) > 2
        assert a.names == b.names
        torch.testing.assert_close(b.boxes, a.boxes, atol=0.05, rtol=0)
        torch.testing.assert_close(b.scores, a.scores, atol=2e-3, rtol=0)


def test_a_detector_of_one_size_resizes_and_scales_back(tmp_path: Path) -> None:
    zoo.export("ssdlite320_mobilenet_v3_large", tmp_path / "out.pt2", weights="SHAPES_V1")
    picture = Image.open(SHAPES).convert("RGB")
    want = zoo.pipeline("ssdlite320_mobilenet_v3_large", weights="SHAPES_V1", optimize=False)(picture).above(0.5)
    got = zoo.pipeline(tmp_path / "out.pt2")(picture).above(0.5)
    assert got.names == want.names
    torch.testing.assert_close(got.boxes, want.boxes, atol=2.0, rtol=0)


def test_nms_of_many_images_is_that_of_each() -> None:
    from zoo.ops import batched_nms, nms_mask

    corners = noise(3, 60, 2) * 50
    boxes = torch.cat([corners, corners + 5 + noise(3, 60, 2) * 30], 2)
    scores, classes, valid = noise(3, 60), (noise(3, 60) * 3).long(), noise(60, 3).t() > 0.2
    kept = nms_mask(boxes, scores, 0.4, classes, valid)
    for i in range(3):
        rows = valid[i].nonzero().squeeze(1)
        want = rows[batched_nms(boxes[i, rows], scores[i, rows], classes[i, rows], 0.4)]
        assert kept[i].nonzero().squeeze(1).tolist() == sorted(want.tolist())


# ── flow and video ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pixels", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_clips_of_free_size(some: Path, pixels: bool) -> None:
    options: dict[str, Any] = {"with_preprocessing": True} if pixels else {}
    zoo.export("mc3_tiny", some, dynamic=("batch", "frames", "height", "width"), **options)
    video = ROOT / "examples/videos/moving_shapes.gif"
    want = zoo.pipeline("mc3_tiny", optimize=False, clips=2)(video)
    got = zoo.pipeline(some, clips=2)(video)
    assert got.label == want.label
    torch.testing.assert_close(got.probabilities, want.probabilities, atol=TOLERANCE, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [False, True])
def test_flow_of_free_size(some: Path, pixels: bool) -> None:
    torch.manual_seed(0)
    model = zoo.get_model("raft_small", weights=None).eval()
    model._weights = zoo.get_model_weights("raft_small").DEFAULT.value
    options: dict[str, Any] = {"with_preprocessing": True} if pixels else {"dynamic": "height,width"}
    zoo.export(model, some, num_flow_updates=2, **options)
    for height, width in ((150, 200), (131, 266)):
        first = (noise(3, height, width) * 255).to(torch.uint8)
        pair = (first, first.roll(2, -1))
        want = zoo.pipeline(model, optimize=False, num_flow_updates=2)(pair).flow
        torch.testing.assert_close(zoo.pipeline(some)(pair).flow, want, atol=2e-2, rtol=0)


@pytest.mark.slow
def test_flow_in_half_precision(some: Path) -> None:
    torch.manual_seed(0)
    model = zoo.get_model("raft_small", weights=None).eval()
    report = zoo.export(model, some, image_size=(128, 136), num_flow_updates=2, half=True, task="optical-flow")
    assert report.outputs == {"flow": "float32 [1, 2, 128, 136]"}
    first = noise(1, 3, 128, 136) * 2 - 1
    with torch.no_grad():
        want = model(first, first.roll((2, -1), (2, 3)), num_flow_updates=2)[-1]
    (got,) = zoo.get_model(some)(first, first.roll((2, -1), (2, 3)))
    torch.testing.assert_close(got, want, atol=0.03 * want.abs().max().item(), rtol=0)


# ── descriptions ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_says_all_that_a_pipeline_needs(file: Path, run: Any) -> None:
    report = zoo.export("squeezenet1_1", file, weights="DIGITS_V1", dynamic="batch")
    facts = json.loads(zoo.contract.load_object(zoo.registry.format_of(file).facts)(file))
    assert facts == json.loads(json.dumps(report.facts))
    assert facts["version"] == 1
    assert (facts["model"], facts["plugin"], facts["task"]) == (
        "squeezenet1_1",
        "classification",
        "image-classification",
    )
    assert facts["categories"] == list("0123456789")
    assert facts["preprocessing"]["arguments"]["crop_size"] == 64
    assert facts["inputs"] == [
        {"name": "image", "dtype": "float32", "shape": ["batch", 3, 64, 64], "holds": "as prepared"}
    ]
    assert facts["outputs"] == [{"name": "output", "dtype": "float32", "shape": ["batch", 10]}]
    assert {"zoo-core", "torch", "zoo-classification"} <= facts["versions"].keys()
    info = zoo.model_info(file)
    assert (info.name, info.task, info.num_params) == ("squeezenet1_1", "image-classification", 727626)
    got = run("show", file)
    assert got.status == 0
    assert "takes        image: float32 [batch, 3, 64, 64], as prepared" in got.out
    got = run("predict", DIGITS[0], "--model", file, "--json")
    want = run("predict", DIGITS[0], "--model", "squeezenet1_1", "--weights", "DIGITS_V1", "--json")
    top, expected = (json.loads(one.out)[0]["top"][0] for one in (got, want))
    assert top["label"] == expected["label"]
    assert top["probability"] == pytest.approx(expected["probability"], abs=1e-4)


def test_evaluation_of_a_file_is_that_of_the_model(tmp_path: Path) -> None:
    for path in DIGITS:
        folder = tmp_path / "data" / path.stem[-1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    zoo.export("squeezenet1_1", tmp_path / "out.pt2", weights="DIGITS_V1", dynamic="batch")
    want = zoo.evaluate("squeezenet1_1", tmp_path / "data", weights="DIGITS_V1")
    got = zoo.evaluate(str(tmp_path / "out.pt2"), tmp_path / "data", output=tmp_path / "records")
    assert got.metrics == want.metrics
    assert got.measured == len(DIGITS)


def test_another_size_than_the_weights_changes_what_prepares(tmp_path: Path) -> None:
    report = zoo.export("squeezenet1_1", tmp_path / "out.pt2", weights="DIGITS_V1", image_size=(48, 96))
    arguments = report.facts["preprocessing"]["arguments"]
    assert (arguments["crop_size"], arguments["resize_size"]) == ([48, 96], [48, 96])
    assert zoo.pipeline(tmp_path / "out.pt2")(DIGITS[0]).probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_strangers_file_is_what_the_user_says(tmp_path: Path, run: Any) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "plain.onnx"
    made = torch.onnx.export(digits(), (noise(1, 3, 64, 64),), dynamo=True, verbose=False)
    assert made is not None
    made.save(path)
    with pytest.raises(
        InvalidArgument, match=r"plain.onnx was not written by zoo and.*Missing: its task and its prep.*--t"
    ):
        zoo.pipeline(path)
    got = run("predict", DIGITS[0], "--model", path)
    assert (got.status, got.out) == (1, "")
    assert "--weights" in got.err
    entry = "SqueezeNet1_1_Weights.DIGITS_V1"
    got = run("predict", DIGITS[0], "--model", path, "--task", "image-classification", "--weights", entry)
    want = run("predict", DIGITS[0], "--model", "squeezenet1_1", "--weights", "DIGITS_V1")
    assert got.out == want.out


def test_an_exported_model_is_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out.pt2"
    zoo.export("squeezenet1_1", path, weights="DIGITS_V1")
    with pytest.raises(InvalidArgument, match="is an exported file, which does not accept num_classes=3"):
        zoo.get_model(path, num_classes=3)
    with pytest.raises(InvalidArgument, match="runs on the CPU with the exported dtypes, not on meta"):
        zoo.get_model(path).to("meta")
    with pytest.raises(InvalidArgument, match="is an exported file"):
        zoo.export(path, tmp_path / "again.pt2")
    again = pickle.loads(pickle.dumps(zoo.get_model(path)))
    torch.testing.assert_close(again(noise(1, 3, 64, 64)), zoo.get_model(path)(noise(1, 3, 64, 64)))


@pytest.mark.parametrize(
    ("file", "modules", "install"),
    [("out.onnx", {"onnxruntime"}, "onnxruntime"), ("out.xml", {"openvino"}, "openvino")],
)
def test_what_is_missing_is_said_with_what_to_install(
    file: str, modules: set[str], install: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = offers._is_there
    monkeypatch.setattr(offers, "_is_there", lambda name: name not in modules and there(name))
    facts = json.loads((ROOT / "tests/tools/facts.json").read_text())
    if file == "out.xml":
        (tmp_path / file).write_text(f"<net><rt_info><zoo value='{json.dumps(facts)}'/></rt_info></net>")
        with pytest.raises(MissingPlugin, match=r"need openvino.*pip install 'zoo-tools\[openvino\]'"):
            zoo.export("squeezenet1_1", tmp_path / "new.xml", weights="DIGITS_V1")
    else:
        (tmp_path / file).write_bytes(onnx_with(json.dumps(facts)))
    with pytest.raises(MissingPlugin, match=rf"{install}.*pip install 'zoo-tools\[{install}\]'"):
        zoo.pipeline(tmp_path / file)


def onnx_with(text: str) -> bytes:
    """A minimal ONNX file with this metadata."""

    def part(field: int, data: bytes) -> bytes:
        size, n = bytearray(), len(data)
        while n > 127:
            size.append(n & 127 | 128)
            n >>= 7
        return bytes([field * 8 + 2]) + bytes(size) + bytes([n]) + data

    return b"\x08\x08" + part(14, part(1, b"zoo") + part(2, text.encode()))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"version": 2}, "exported by a newer zoo, in version 2; this one reads up to 1"),
        ({"version": None}, "the version is missing"),
        ({"model": 5}, "model is 5"),
        ({"task": None}, "the task is missing"),
        ({"preprocessing": {"target": "os:system", "arguments": {}}}, "the preprocessing is 'os:system', which is nei"),
        ({"inside": ["everything"]}, "inside is"),
        ({"inputs": [{"name": "image", "shape": [1, None]}]}, "inputs contain"),
        ({"categories": [1, 2]}, "categories are not all text"),
        ({"plugin": "../x"}, "model is"),
    ],
)
def test_what_a_file_says_is_checked(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    facts = json.loads((ROOT / "tests/tools/facts.json").read_text())
    (tmp_path / "out.onnx").write_bytes(onnx_with(json.dumps({**facts, **change})))
    with pytest.raises(CheckpointError, match=match):
        zoo.model_info(tmp_path / "out.onnx")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"no such file", b"", b"\xff" * 40])
def test_damaged_files_are_told(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((CheckpointError, InvalidArgument), match=name):
        zoo.model_info(tmp_path / name)


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    text = '<!DOCTYPE net [<!ENTITY a "aaaa">]><net><rt_info><zoo value="&a;"/></rt_info></net>'
    (tmp_path / "out.xml").write_text(text)
    with pytest.raises(CheckpointError, match="it declares entities"):
        zoo.model_info(tmp_path / "out.xml")


# ── no code in a program is executed ─────────────────────────────────────────────────────────────────────────────


class Runs:
    def __reduce__(self) -> Any:
        return Path("ran").touch, ()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "out.pt2"
    zoo.export(Pools().eval(), path, task="image-classification", image_size=16, dynamic="batch,height,width")
    return path


def changed(source: Path, target: Path, change: Any) -> Path:
    """A copy of an archive with ``change(name, bytes)`` for each member; called with None, it adds members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename.partition("/")[2], old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
        for name, data in (change(None, b"") or {}).items():
            new.writestr(f"out/{name}", data)
    return target


def graph(edit: Any) -> Any:
    def change(name: str | None, data: bytes) -> Any:
        if name != "models/model.json":
            return data if name else None
        content = json.loads(data)
        edit(content)
        return json.dumps(content)

    return change


def nodes(content: Any) -> Any:
    return content["graph_module"]["graph"]["nodes"]


def pickled(name: str | None, data: bytes) -> Any:
    if name == "data/constants/model_constants_config.json":
        return json.dumps({"config": {"x": {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True}}})
    return data if name else {"data/constants/custom_obj_0": pickle.dumps(Runs())}


def add_operator(target: str) -> Any:
    def edit(content: Any) -> None:
        nodes(content)[0]["target"] = target

    return graph(edit)


def expression(content: Any) -> None:
    values = content["graph_module"]["graph"]["sym_int_values"] or {}
    values["x"] = {"as_expr": {"expr_str": "__import__('pathlib').Path('ran').touch()", "hint": None}}
    content["graph_module"]["graph"]["sym_int_values"] = values


def name_of_a_node(content: Any) -> None:
    output = next(node["outputs"][0] for node in nodes(content) if "as_tensor" in node["outputs"][0])
    output["as_tensor"]["name"] = "a\nimport pathlib; pathlib.Path('ran').touch()"


def parameter_path(content: Any) -> None:
    spec = content["graph_module"]["signature"]["input_specs"][0]["parameter"]
    spec["parameter_name"] = 'a"), __import__("os").system("touch ran"), ("'


def structure(content: Any) -> None:
    call = content["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = json.dumps([1, {"type": "os.system", "context": '"touch ran"', "children_spec": []}])


@pytest.mark.parametrize(
    "change",
    [
        pickled,
        add_operator("torch.os.system"),
        add_operator("torch.load"),
        add_operator("torch.ops.load_library"),
        add_operator("torch.ops.aten.from_file.default"),
        add_operator("#os.system"),
        graph(expression),
        graph(name_of_a_node),
        graph(parameter_path),
        graph(structure),
        lambda name, data: data if name else {"data/aotinductor/model/x.so": b"\x7fELF"},
        lambda name, data: data if name else {"../../ran": b""},
    ],
)
def test_a_program_that_could_do_more_than_arithmetic_is_refused(
    change: Any, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = changed(program, tmp_path / "hostile.pt2", change)
    with pytest.raises(CheckpointError, match="is refused: it contains"):
        zoo.get_model(hostile)
    assert not (tmp_path / "ran").exists()


def test_examples_and_guards_of_a_program_are_not_read(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch would unpickle the examples and compile the guards."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(Runs(), buffer)

    def change(name: str | None, data: bytes) -> Any:
        if name == "data/sample_inputs/model.pt":
            return buffer.getvalue()
        if name == "models/model.json":
            content = json.loads(data)
            content["guards_code"] = ["__import__('pathlib').Path('ran').touch()"]
            return json.dumps(content)
        return data if name else None

    opened = zoo.get_model(changed(program, tmp_path / "other.pt2", change))
    assert opened(noise(1, 3, 20, 30)).shape == (1, 3)
    assert not (tmp_path / "ran").exists()


def test_a_compressed_program_is_refused(program: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    with pytest.raises(CheckpointError, match="duplicated or compressed"):
        torch_export.checked_copy(tmp_path / "bomb.pt2")


# ── third-party formats, and failures ────────────────────────────────────────────────────────────────────────────

PARTS = """
    import json, zipfile
    import torch

    def write(capture, path):
        weights = {name: t for name, t in capture.program.state_dict.items()}
        torch.save({"weights": weights, "facts": capture.facts}, path)

    def facts(path):
        import torch
        return torch.load(path, weights_only=True)["facts"]

    def run(path):
        weights = torch.load(path, weights_only=True)["weights"]
        return lambda x: {"output": x.mean((2, 3)) @ weights["linear.weight"].T + weights["linear.bias"]}
"""


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x.mean((2, 3)))
        return y


def test_a_plugin_brings_a_format(plugin_folder: Any, tmp_path: Path, run: Any) -> None:
    target = ", ".join(f'{key}="acme_parts:{name}"' for key, name in (("write", "write"), ("facts", "facts")))
    offered = f'formats=[zoo.Format("acme", (".acme",), "Acme\'s own", {target}, open="acme_parts:run")]'
    plugin_folder.install(
        "acme", f"@zoo.hookimpl\ndef zoo_manifest():\n    return zoo.Manifest(api_version=1, {offered})\n"
    )
    (plugin_folder.path / "acme_parts.py").write_text(textwrap.dedent(PARTS))
    zoo.refresh()
    model = Mean().eval()
    preset = zoo.Preset("zoo.transforms:ImageClassification", {"crop_size": 8, "resize_size": 8})
    model._weights = zoo.Weights(url="here", transforms=preset, categories=["a", "b", "c", "d"])
    report = zoo.export(model, tmp_path / "out.acme", task="image-classification", dynamic="batch")
    assert (report.format, report.inputs) == ("acme", {"image": "float32 [batch, 3, 8, 8]"})
    want = zoo.pipeline(model, task="image-classification", optimize=False)(PHOTOS[0])
    got = zoo.pipeline(tmp_path / "out.acme")(PHOTOS[0])
    torch.testing.assert_close(got.probabilities, want.probabilities)
    assert got.top(1)[0][0] in "abcd"
    assert run("verify-plugin", "acme").status == 0


@pytest.mark.parametrize("when", ["before", "half"])
def test_a_full_disk_leaves_nothing(when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(capture: zoo.Capture, path: Path) -> None:
        if when == "half":
            path.write_text("half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo_tools.formats.torch_export.write", write)
    (tmp_path / "out.pt2").write_text("precious")
    with pytest.raises(OSError, match="No space"):
        zoo.export("squeezenet1_1", tmp_path / "out.pt2", weights="DIGITS_V1", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.pt2"]
    assert (tmp_path / "out.pt2").read_text() == "precious"


def test_an_error_of_the_exporter_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(capture: zoo.Capture, path: Path) -> None:
        raise RuntimeError("x" * 5000)

    monkeypatch.setattr("zoo_tools.formats.torch_export.write", write)
    with pytest.raises(
        ExportError, match=r"could not be exported as torch-export with batch free: RuntimeError: x+…\."
    ) as e:
        zoo.export("squeezenet1_1", tmp_path / "out.pt2", weights="DIGITS_V1", dynamic="batch")
    assert len(str(e.value)) < 500


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_stages_are_a_line_that_goes_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, piped = Terminal(), io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    with Stages() as stages:
        stages.say("Capturing")
        stages.say("Writing")
    assert [part.partition(" …")[0] for part in shown.getvalue().split("\r\x1b[K")[1:]] == ["Capturing", "Writing", ""]
    monkeypatch.setattr("sys.stderr", piped)
    monkeypatch.setattr("zoo_tools.stages.LONG", 0.0)
    with Stages(True) as stages:
        stages.say("Capturing")
        stages.say("Writing")
    assert piped.getvalue() == "Capturing …\nWriting …\n"


def test_weights_are_described_with_what_they_were_measured(tmp_path: Path) -> None:
    entry = zoo.get_weight("SqueezeNet1_1_Weights.DIGITS_V1").value
    zoo.export("squeezenet1_1", tmp_path / "out.pt2", weights="DIGITS_V1")
    info = zoo.model_info(tmp_path / "out.pt2")
    assert info.weights["DEFAULT"].metrics == entry.metrics
    assert info.weights["DEFAULT"].transforms == dataclasses.replace(entry).transforms
