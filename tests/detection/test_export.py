"""Exported and compiled detectors: the same detections, also for pictures without objects."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import models_of
from PIL import Image
from reference.fill import fill_, images
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn import functional as F

import zoo
import zoo_detection
from zoo.cli import main
from zoo.errors import InvalidArgument
from zoo.ops import MultiScaleRoIAlign, RoIAlign
from zoo.transforms.functional import to_tensor
from zoo_detection import (
    FCOS,
    SSD,
    AnchorGenerator,
    DefaultBoxGenerator,
    FasterRCNN,
    KeypointRCNN,
    MaskRCNN,
    RetinaNet,
    RetinaNetHead,
    RoIHeads,
    TwoMLPHead,
)
from zoo_detection.fcos import FCOSHead
from zoo_detection.keypoint_rcnn import KeypointRCNNHeads
from zoo_detection.mask_rcnn import MaskRCNNHeads

ROOT = Path(__file__).parents[2]
SIZE = (96, 128)
IMAGES = [images((3, *SIZE), 0), images((3, *SIZE), 1), torch.zeros(3, *SIZE)]
TOLERANCES = {"boxes": 1e-2, "scores": 1e-4, "labels": 0, "masks": 1e-3, "keypoints": 2e-2, "keypoints_scores": 1e-3}


class Maps(nn.Module):
    """Three maps, of strides 8, 16 and 32."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.out_channels: Any = channels
        self.convs = nn.ModuleList([nn.Conv2d(3, channels, 9, 8, 4)])
        self.convs.extend(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = {}
        for i, conv in enumerate(self.convs):
            x = maps[str(i)] = conv(x).relu()
        return maps


def several() -> AnchorGenerator:
    return AnchorGenerator(((16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 3)


def rcnn(kind: Callable[..., nn.Module], **kwargs: Any) -> nn.Module:
    levels, channels = ["0", "1", "2"], 32
    parts = {
        "box_roi_pool": MultiScaleRoIAlign(levels, 3, 2, canonical_scale=32),
        "box_head": TwoMLPHead(channels * 9, 1024),
        "mask_roi_pool": MultiScaleRoIAlign(levels, 6, 2, canonical_scale=32),
        "keypoint_roi_pool": MultiScaleRoIAlign(levels, 6, 2, canonical_scale=32),
    }
    taken = {
        key: part for key, part in parts.items() if key.startswith("box") or key.split("_")[0] in kind.__name__.lower()
    }
    sizes = {"min_size": 96, "max_size": 160, "rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 60}
    return kind(Maps(), 5, rpn_anchor_generator=several(), **{**sizes, **taken, **kwargs})


def ssd(**kwargs: Any) -> nn.Module:
    backbone = Maps()
    backbone.out_channels = [32, 32, 32]
    return SSD(backbone, DefaultBoxGenerator([[2], [2, 3], [2]]), (128, 112), 5, **kwargs)


TINY: dict[str, Callable[..., nn.Module]] = {
    "fasterrcnn": functools.partial(rcnn, FasterRCNN),
    "maskrcnn": functools.partial(rcnn, MaskRCNN, mask_head=MaskRCNNHeads(32, (256,), 1)),
    "keypointrcnn": functools.partial(
        rcnn, KeypointRCNN, num_keypoints=3, keypoint_head=KeypointRCNNHeads(32, (512,))
    ),
    "retinanet": lambda **kwargs: RetinaNet(
        Maps(), 5, 96, 160, anchor_generator=several(), head=RetinaNetHead(32, 3, 5), **kwargs
    ),
    "fcos": lambda **kwargs: FCOS(
        Maps(), 5, 96, 160,
        anchor_generator=AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3), head=FCOSHead(32, 1, 5), **kwargs
    ),
    "ssd": ssd,
}  # fmt: skip


# ── detectors that see something ─────────────────────────────────────────────────────────────────────────────────


def classifiers(model: Any) -> list[Any]:
    """The classification layers."""
    if hasattr(model, "roi_heads"):
        return [model.roi_heads.box_predictor.cls_score]
    head = model.head.classification_head
    if hasattr(head, "cls_logits"):
        return [head.cls_logits]
    return [m if isinstance(m, nn.Conv2d) else m[-1] for m in head.module_list]


@torch.no_grad()
def problems_of(model: Any, pictures: Sequence[Tensor], objects: int = 20, rows: int = 600) -> dict[Any, Any]:
    """For each classifier, its inputs for the pictures, and the required outputs: objects at some positions of all
    pictures except the last, which has none."""
    g = torch.Generator().manual_seed(0)
    seen: dict[Any, list[Tensor]] = {layer: [] for layer in classifiers(model)}
    handles = [layer.register_forward_hook(lambda m, given, _: seen[m].append(given[0])) for layer in seen]
    problems: dict[Any, Any] = {layer: [] for layer in seen}
    for i, picture in enumerate(pictures):
        model([picture])
        for layer, inputs in seen.items():
            x = torch.cat(
                [F.unfold(v, layer.kernel_size, padding=layer.padding)[0].t() if v.ndim == 4 else v for v in inputs]
            )
            inputs.clear()
            x = x[torch.randperm(len(x), generator=g)[:rows]]
            want = torch.full((len(x), len(layer.bias) // model.num_classes, model.num_classes), -4.0)
            if model.has_background:
                want[..., 0] = 4
            n = min(objects, len(x)) if i + 1 < len(pictures) else 0
            anchors = torch.randint(want.shape[1], (n,), generator=g)
            want[torch.arange(n), anchors, torch.randint(1, model.num_classes, (n,), generator=g)] = 9
            problems[layer].append((x.double(), want.flatten(1).double()))
    for handle in handles:
        handle.remove()
    return {layer: [torch.cat(parts) for parts in zip(*pairs, strict=True)] for layer, pairs in problems.items()}


@torch.no_grad()
def solve(layer: Any, x: Tensor, want: Tensor, smooth: float) -> None:
    """Least squares; ``smooth`` keeps weights small, because large ones amplify the rounding of the layer's input."""
    centre, bias = x.mean(0), want.mean(0)
    products = (x - centre) @ (x - centre).t()
    products += smooth * products.diagonal().mean() * torch.eye(len(x), dtype=x.dtype)
    weight = torch.linalg.solve(products, want - bias).t() @ (x - centre)
    layer.weight.copy_(weight.view_as(layer.weight))
    layer.bias.copy_(bias - weight @ centre)


@torch.no_grad()
def seeing(model: nn.Module, pictures: Sequence[Tensor] = IMAGES) -> nn.Module:
    """``model`` with random weights, except its classifiers, which detect objects in all pictures except the last."""
    problems = problems_of(fill_(model).eval(), pictures)
    part: Any = getattr(model, "roi_heads", model)
    own = part.score_thresh
    for smooth in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        for layer, problem in problems.items():
            solve(layer, *problem, smooth)
        part.score_thresh = 1e-4  # then the threshold that separates: scores in the last picture are below it
        part.score_thresh = max([own, *(1.05 * model([pictures[-1]])[0]["scores"][:1]).tolist()])
        counts = [len(model([picture])[0]["boxes"]) for picture in pictures]
        if min(counts[:-1]) > 2:
            break
    assert min(counts[:-1]) > 0
    assert counts[-1] == 0
    return model


@functools.cache
def tiny(name: str) -> Any:
    return seeing(TINY[name]())


def differences(got: dict[str, Tensor], want: dict[str, Tensor], **tolerances: float) -> list[str]:
    """Differences between padded and eager detections; equal scores may be in any order."""
    tolerances = {**TOLERANCES, **tolerances}
    count = int(got["count"])
    if count != len(want["boxes"]):
        return [f"{count} detections, expected {len(want['boxes'])}"]
    problems = [f"{name}: padding is not 0" for name, t in got.items() if t.ndim and t[count:].any()]
    far = torch.cdist(want["boxes"], got["boxes"][:count]) + 100 * (want["labels"][:, None] != got["labels"][:count])
    match = far.argmin(1) if count else torch.arange(0)
    for name, expected in want.items():
        found = got[name][:count][match]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            problems.append(
                f"{name}: {found.dtype} {list(found.shape)}, expected {expected.dtype} {list(expected.shape)}"
            )
        elif count and (off := (found.double() - expected.double()).abs().max().item()) > tolerances[name]:
            problems.append(f"{name}: off by {off:.2g}")
    return problems


def run_onnx(path: Path) -> Callable[[Tensor], dict[str, Tensor]]:
    ort = onnxruntime
    session = ort.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda image: {
        name: torch.from_numpy(np.asarray(value))
        for name, value in zip(names, session.run(None, {"image": image.numpy()}), strict=True)
    }


def check(
    run: Callable[[Tensor], dict[str, Tensor]],
    model: nn.Module,
    pictures: Sequence[Tensor] = IMAGES,
    **tolerances: float,
) -> None:
    with torch.no_grad():
        for picture in pictures:
            assert differences(run(picture), model([picture])[0], **tolerances) == []


def default(*names: str) -> list[Any]:
    """All detectors; these are in the default suite."""
    return [name if name in names else pytest.param(name, marks=pytest.mark.slow) for name in TINY]


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shapes_are_found_by_a_file_that_the_command_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = to_tensor(Image.open(ROOT / "examples/images/shapes.png"))
    size = "x".join(map(str, picture.shape[1:]))
    path, name = tmp_path / "shapes.onnx", "ssdlite320_mobilenet_v3_large"
    options = ["--weights", "SHAPES_V1", "--max-detections", "25", "--format", "onnx", "--image-size", size]
    assert main(["export", name, *options, str(path)]) == 0
    first, *facts = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}  onnx  ")
    assert [line.split(maxsplit=2) for line in facts] == [
        ["in", "image", f"float32 {list(picture.shape)}"],
        ["out", "boxes", "float32 [25, 4]"],
        ["out", "scores", "float32 [25]"],
        ["out", "labels", "int64 [25]"],
        ["out", "count", "int64 []"],
    ]
    model = zoo.get_model(name, weights="SHAPES_V1", detections_per_img=25).eval()
    run = run_onnx(path)
    check(run, model, [picture, picture.flip(2), torch.full_like(picture, 0.5)])
    assert (run(picture)["scores"] > 0.5).sum() > 3
    assert (run(torch.full_like(picture, 0.5))["scores"] < 0.5).all()


@pytest.mark.parametrize("name", default())
def test_onnx_runs_as_the_model_does(name: str, tmp_path: Path) -> None:
    report = zoo.export(tiny(name), tmp_path / "out.onnx", image_size=SIZE, task="object-detection")
    assert report.inputs == {"image": "float32 [3, 96, 128]"}
    assert report.outputs["boxes"] == f"float32 [{detections_per_img(tiny(name))}, 4]"
    check(run_onnx(report.path), tiny(name))


@pytest.mark.parametrize("name", default("fcos"))
def test_exported_program_runs_as_the_model_does(name: str, tmp_path: Path) -> None:
    path = zoo.export(tiny(name), tmp_path / "out.pt2", image_size=SIZE, task="object-detection").path
    check(torch.export.load(path).module(), tiny(name))


def detections_per_img(model: Any) -> int:
    return getattr(model, "roi_heads", model).detections_per_img


@pytest.mark.slow
@pytest.mark.parametrize("most", [130, 7])
def test_max_detections_takes_the_place_of_the_models(most: int, tmp_path: Path) -> None:
    model = tiny("keypointrcnn")
    report = zoo.export(model, tmp_path / "out.pt2", image_size=SIZE, task="keypoint-detection", max_detections=most)
    assert report.outputs["keypoints"] == f"float32 [{most}, 3, 3]"
    own, model.roi_heads.detections_per_img = model.roi_heads.detections_per_img, most
    check(torch.export.load(report.path).module(), model)
    model.roi_heads.detections_per_img = own


def test_masks_of_boxes(tmp_path: Path) -> None:
    model = tiny("maskrcnn")
    options = {"image_size": SIZE, "task": "instance-segmentation", "max_detections": 9}
    full = zoo.export(model, tmp_path / "full.pt2", **options)
    small = zoo.export(model, tmp_path / "roi.pt2", mask_format="roi", **options)
    assert full.outputs["masks"] == "float32 [9, 1, 96, 128]"
    assert small.outputs["masks"] == "float32 [9, 1, 12, 12]"
    assert model.mask_format == "full", "the model is not modified"
    found, whole = (torch.export.load(report.path).module()(IMAGES[0]) for report in (small, full))
    pasted = zoo_detection.paste_masks(found["masks"], found["boxes"], SIZE)
    torch.testing.assert_close(pasted, whole["masks"])


@pytest.mark.slow
def test_without_a_transform_the_caller_prepares(tmp_path: Path) -> None:
    model = seeing(rcnn(FasterRCNN, transform=None))
    check(
        torch.export.load(
            zoo.export(model, tmp_path / "out.pt2", image_size=SIZE, task="object-detection").path
        ).module(),
        model,
    )


def test_a_detector_of_fixed_size_needs_no_image_size(tmp_path: Path) -> None:
    report = zoo.export(tiny("ssd"), tmp_path / "out.pt2", task="object-detection")
    assert report.inputs == {"image": "float32 [3, 112, 128]"}


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    def refused(match: str, model: nn.Module, **options: Any) -> None:
        with pytest.raises(InvalidArgument, match=match):
            zoo.export(model, tmp_path / "out.pt2", **{"image_size": SIZE, "task": "object-detection", **options})
        assert list(tmp_path.iterdir()) == []

    refused("pass image_size", tiny("fcos"), image_size=None)
    refused("max_detections is 0", tiny("fcos"), max_detections=0)
    refused("mask_format is 'roi' for FCOS; expected none", tiny("fcos"), mask_format="roi")
    refused("mask_format is 'coco' for MaskRCNN; expected one of full, roi", tiny("maskrcnn"), mask_format="coco")
    refused("Conv2d cannot be exported as a detector", nn.Conv2d(3, 3, 1))
    own = TINY["fasterrcnn"]()
    own.roi_heads.__class__ = OwnHeads
    refused("FasterRCNN cannot be exported.*computes its detections in the same way", own.eval())


class OwnHeads(RoIHeads):
    def postprocess_detections(self, *args: Any) -> Any:
        return tuple([values[:1] for values in of] for of in super().postprocess_detections(*args))


SMALL = {"min_size": 128, "max_size": 192}


@pytest.mark.slow
@pytest.mark.parametrize("name", models_of("detection"))
def test_onnx_of_every_published_detector(name: str, tmp_path: Path) -> None:
    few = {"rpn_pre_nms_top_n_test": 300, "rpn_post_nms_top_n_test": 100} if "rcnn" in name else {}
    sizes = {} if name.startswith("ssd") else SMALL
    pictures = [images((3, 128, 160), 0), images((3, 128, 160), 1), torch.zeros(3, 128, 160)]
    model = seeing(zoo.get_model(name, weights=None, weights_backbone=None, **few, **sizes), pictures)
    report = zoo.export(model, tmp_path / "out.onnx", image_size=(128, 160), task="object-detection")
    # SSDlite's random features hardly differ between positions: classifiers that separate them amplify rounding.
    check(run_onnx(report.path), model, pictures, scores=3e-3 if "ssdlite" in name else TOLERANCES["scores"])


# ── compiled ─────────────────────────────────────────────────────────────────────────────────────────────────────

BREAKS = 1  # where padding is removed; the hooks of a detector on any backbone cause more


def breaks(model: nn.Module, **options: Any) -> int:
    """Graph breaks of a compiled ``model``, whose detections must equal the uncompiled ones; none in a blank
    picture."""
    torch.compiler.reset()
    counters.clear()
    pictures = [IMAGES[0], IMAGES[2]]
    try:
        with torch.no_grad():
            found, expected = torch.compile(model, **options)(pictures), model(pictures)
    finally:
        torch.compiler.reset()  # otherwise compiled code is kept permanently
    for got, want in zip(found, expected, strict=True):
        assert differences({**got, "count": torch.tensor(len(got["boxes"]))}, want) == []
    return sum(counters["graph_break"].values())


@pytest.mark.parametrize("name", default("fasterrcnn", "ssd"))
def test_graph_breaks_do_not_grow(name: str) -> None:
    assert breaks(tiny(name), backend="eager") <= BREAKS


@pytest.mark.slow
@pytest.mark.parametrize("name", models_of("detection"))
def test_graph_breaks_of_every_published_detector_do_not_grow(name: str) -> None:
    sizes = {} if name.startswith("ssd") else SMALL
    model = seeing(zoo.get_model(name, weights=None, weights_backbone=None, **sizes))
    assert breaks(model, backend="eager") <= BREAKS


@pytest.mark.slow
def test_graph_breaks_on_any_backbone_do_not_grow() -> None:
    model = seeing(zoo.get_model("fcos", backbone="squeezenet1_1", num_classes=5, min_size=96, max_size=160))
    assert breaks(model, backend="eager") <= BREAKS + 5


def test_a_replaced_part_is_not_gone_around() -> None:
    """Graphs with fixed sizes support only the parts of this package; with others there are more graph breaks."""
    model = seeing(TINY["fasterrcnn"]())
    model.roi_heads.__class__ = OwnHeads
    with torch.no_grad():
        (found,) = torch.compile(model, backend="eager")(IMAGES[:1])
    torch.compiler.reset()
    assert len(found["boxes"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssd", "keypointrcnn"])
def test_compiled_by_inductor(name: str) -> None:
    assert breaks(tiny(name), dynamic=False) <= BREAKS


# ── torch.onnx.export, which traces ──────────────────────────────────────────────────────────────────────────────


def traced(model: nn.Module, given: list[Tensor], path: Path, opset: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's warnings about fixed sizes
        torch.onnx.export(model, (given,), str(path), opset_version=opset, dynamo=False)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("opset", [pytest.param(11, marks=pytest.mark.slow), 17])
@pytest.mark.parametrize("name", [one for one in default("fasterrcnn", "ssd") if "keypointrcnn" not in str(one)])
def test_the_tracing_exporter_writes_detectors(name: str, opset: int, tmp_path: Path) -> None:
    model = tiny(name)
    session = traced(model, [IMAGES[0]], tmp_path / "f.onnx", opset)
    for picture in IMAGES:  # the true number of detections in each, and none in the last
        with torch.no_grad():
            want = model([picture])[0]
        outputs = session.run(None, {session.get_inputs()[0].name: picture.numpy()})
        got = dict(zip(want, map(torch.from_numpy, outputs), strict=True))
        assert not differences({**got, "count": torch.tensor(len(got["boxes"]))}, want)


@pytest.mark.parametrize(
    "pictures", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_list_of_pictures_as_the_arguments(pictures: int, tmp_path: Path) -> None:
    """As in torchvision's documentation: ``torch.onnx.export(model, x, …)``, where x is a list."""
    model, given = tiny("fasterrcnn"), [IMAGES[i % 2].clone() for i in range(pictures)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, [*given], str(tmp_path / "f.onnx"), opset_version=11, dynamo=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "f.onnx"), providers=["CPUExecutionProvider"])
    assert len(session.get_inputs()) == pictures
    outputs = session.run(None, {i.name: t.numpy() for i, t in zip(session.get_inputs(), given, strict=True)})
    with torch.no_grad():
        found = model(given)
    assert len(outputs) == sum(map(len, found))
    torch.testing.assert_close(torch.from_numpy(outputs[0]), found[0]["boxes"], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("width", [pytest.param(128, marks=pytest.mark.slow), 100])
def test_the_tracing_exporter_writes_several_pictures(width: int, tmp_path: Path) -> None:
    model, given = tiny("fasterrcnn"), [IMAGES[0], IMAGES[1][..., :width]]
    session = traced(model, given, tmp_path / "f.onnx", 11)
    names = [i.name for i in session.get_inputs()]
    swapped = [given[0].flip(1), given[1] * 0.9]
    outputs = session.run(None, {n: t.numpy() for n, t in zip(names, swapped, strict=True)})
    with torch.no_grad():
        found = model(swapped)
    for i, want in enumerate(found):
        got = dict(zip(want, map(torch.from_numpy, outputs[i * len(want) :]), strict=False))
        assert not differences({**got, "count": torch.tensor(len(got["boxes"]))}, want)


def test_keypoints_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="zoo export"):
        traced(tiny("keypointrcnn"), [IMAGES[0]], tmp_path / "f.onnx", 11)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("opset", [11, 16])
def test_the_tracing_exporter_writes_roi_align(opset: int, aligned: bool, tmp_path: Path) -> None:
    module = RoIAlign(3, 0.5, 2, aligned)
    features = torch.rand(2, 4, 12, 16)
    rois = torch.tensor([[0, 1.0, 2.0, 20.0, 15.0], [1, 4.0, 4.0, 9.0, 20.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = str(tmp_path / "f.onnx")
        torch.onnx.export(module, (features, rois), path, opset_version=opset, dynamo=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {i.name: t.numpy() for i, t in zip(session.get_inputs(), (features, rois), strict=True)})
    torch.testing.assert_close(torch.from_numpy(got), module(features, rois), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fasterrcnn", "ssd", "keypointrcnn"])
def test_a_list_of_images_in_torchs_own_exporter(name: str, tmp_path: Path) -> None:
    """``torch.onnx.export(detector, ([image],), dynamo=True)``: resized, and with the true number of results."""
    model, images = tiny(name).eval(), [torch.rand(3, 50, 40)]
    options = {"dynamo": True, "verbose": False}
    if name == "keypointrcnn":
        with pytest.raises(torch.onnx.errors.OnnxExporterError) as error:
            torch.onnx.export(model, (images,), tmp_path / "model.onnx", **options)
        assert "use zoo.export(model, path, image_size=…)" in str(error.value)
        return
    torch.onnx.export(model, (images,), tmp_path / "model.onnx", **options)
    with torch.no_grad():
        (want,) = model(images)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(None, {session.get_inputs()[0].name: images[0].numpy()})
    assert len(want["boxes"]) > 0
    assert {len(values) for values in found} == {len(want["boxes"])}
    boxes = next(values for values in found if values.ndim == 2)
    torch.testing.assert_close(torch.from_numpy(boxes), want["boxes"], atol=1e-2, rtol=1e-3)
