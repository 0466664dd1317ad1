"""Where zoo deliberately differs from torchvision 0.28: each test is a row of the table in docs/torchvision.md.

``python scripts/differences.py`` writes the table from the marks.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoo
from zoo import io, models, ops, transforms, utils

differs = pytest.mark.differs
RANDOM: dict[str, Any] = {"weights": None}


@differs("a misspelt argument of a builder", "`TypeError` of the model's class", "the error names the closest argument")
def test_misspelt_arguments() -> None:
    with pytest.raises(TypeError, match="Did you mean 'num_classes'") as told:
        models.squeezenet1_1(num_clases=3)
    assert isinstance(told.value, zoo.ZooError)


@differs(
    "`num_classes=` beside `weights=`", "`ValueError`", "a new head on the loaded body; reported by `zoo.load_report`"
)
def test_another_number_of_classes() -> None:
    model = models.squeezenet1_1(weights="DIGITS_V1", num_classes=3)
    assert zoo.load_report(model).reinitialised == ("classifier.1.weight", "classifier.1.bias")
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)


@differs("`in_channels=`", "no such argument", "an argument of every builder; loaded first layers are adapted")
def test_channels() -> None:
    assert "in_channels" in inspect.signature(models.resnet18).parameters
    assert models.resnet18(**RANDOM, in_channels=1).conv1.weight.shape == (64, 1, 7, 7)


@differs("`image_size=` of a ViT that is not square", "not taken", "taken; position embeddings are resized")
def test_sizes_of_vit() -> None:
    model = models.vit_b_32(**RANDOM, image_size=(64, 96))
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 1000)


@differs("facts about weights", "in `meta`", "in `meta`, and typed in `value`: metrics, licence, size, categories")
def test_entries() -> None:
    entry = models.ResNet50_Weights.IMAGENET1K_V2
    assert entry.meta["num_params"] == entry.value.num_params == 25557032
    assert entry.value.metrics["ImageNet-1K"]["acc@1"] == 80.858
    assert entry.value.read_categories() == entry.meta["categories"]


@differs("`torch.jit.script(model)`", "works", "an error that names `torch.export`: PyTorch has deprecated TorchScript")
def test_script() -> None:
    with pytest.raises(ValueError, match=r"torch\.export\.export"):
        torch.jit.script(models.squeezenet1_1(**RANDOM))


@differs("`box_iou` of two boxes without area", "NaN", "0")
def test_boxes_without_area() -> None:
    nothing = torch.zeros(1, 4)
    assert ops.box_iou(nothing, nothing).item() == 0


@differs("`box_area` and `box_convert` of integers", "the boxes' type, which overflows", "a wider type")
def test_boxes_of_integers() -> None:
    assert ops.box_area(torch.tensor([[0, 0, 20, 20]], dtype=torch.int8)).item() == 400
    assert ops.box_area(torch.tensor([[0, 0, 60000, 60000]], dtype=torch.int32)).item() == 3_600_000_000
    boxes = ops.box_convert(torch.tensor([[100, 100, 100, 100]], dtype=torch.uint8), "xywh", "xyxy")
    assert ops.box_convert(torch.tensor([[100, 100, 100, 100]], dtype=torch.int8), "xywh", "xyxy")[0, 2] == 200
    assert boxes.tolist() == [[100, 100, 200, 200]]


@differs(
    "wrong shapes and targets",
    "`AssertionError`, `RuntimeError` or a trace",
    "an error that names the given value; the same `except` catches it",
)
def test_errors_are_caught_as_before() -> None:
    detector = models.detection.ssdlite320_mobilenet_v3_large(**RANDOM, weights_backbone=None)
    targets = [{"boxes": torch.tensor([[5.0, 5, 1, 1]]), "labels": torch.tensor([1])}]
    with pytest.raises(AssertionError, match="It looks like xywh"):
        detector([torch.rand(3, 320, 320)], targets)
    with pytest.raises(RuntimeError, match=r"\[N, 4\]"):
        ops.nms(torch.zeros(2, 3), torch.zeros(2), 0.5)


@differs("gradient of `ps_roi_pool`", "counts a row and a column that the forward leaves out", "that of the forward")
def test_gradient_of_ps_roi_pool() -> None:
    x = torch.rand(1, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0, 0.0, 0.0, 5.0, 5.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: ops.ps_roi_pool(x, boxes, (2, 2), 1.0), (x,))


@differs("`raft_small` of no frames", "fails", "flows of no frames")
def test_flow_of_no_frames() -> None:
    model = models.optical_flow.raft_small(**RANDOM).eval()
    nothing = torch.rand(0, 3, 128, 128)
    assert model(nothing, nothing, num_flow_updates=1)[-1].shape == (0, 2, 128, 128)


@differs("RAFT in half precision", "flows in single precision, or fails", "flows of the frames' type")
def test_flow_in_half_precision() -> None:
    model = models.optical_flow.raft_small(**RANDOM).eval().bfloat16()
    frames = torch.rand(1, 3, 128, 128, dtype=torch.bfloat16)
    with torch.inference_mode():
        assert model(frames, frames, num_flow_updates=1)[-1].dtype == torch.bfloat16


@differs("`draw_segmentation_masks` where masks overlap", "black", "the later mask is drawn")
def test_masks_that_overlap() -> None:
    masks = torch.ones(2, 4, 4, dtype=torch.bool)
    canvas = torch.zeros(3, 4, 4, dtype=torch.uint8)
    drawn = utils.draw_segmentation_masks(canvas, masks, alpha=1.0, colors=["red", "blue"])
    assert drawn[:, 0, 0].tolist() == [0, 0, 255]


@differs("`font_size=` of `draw_bounding_boxes` without `font=`", "ignored, with a warning", "used: a font is bundled")
def test_font_size() -> None:
    canvas, boxes = torch.zeros(3, 60, 60, dtype=torch.uint8), torch.tensor([[2.0, 40, 50, 58]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small, large = (utils.draw_bounding_boxes(canvas, boxes, labels=["A"], font_size=n) for n in (8, 24))
    assert (large > 0).sum() > (small > 0).sum()


@differs(
    "`transforms`",
    "for training and inference",
    "for inference; the error for a missing name refers to torchvision's",
)
def test_transforms() -> None:
    with pytest.raises(ImportError, match=r"torchvision\.transforms\.v2\.RandomResizedCrop"):
        _ = transforms.RandomResizedCrop


@differs("`io`", "compiled decoders", "Pillow and PyAV; errors name the alternative for other formats")
def test_io(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "red.png")
    assert io.read_image(str(tmp_path / "red.png"))[:, 0, 0].tolist() == [255, 0, 0]
    with pytest.raises(ImportError, match="pillow-heif"):
        _ = io.decode_heic


@differs(
    "int8 weights where torch has no int8 kernels",
    "an error",
    'computed in ordinary arithmetic, with a warning (`quantize="auto"`)',
)
def test_int8_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: dict[str, Any] = {"weights": "DIGITS_V1", "quantize": "reference"}
    plain = zoo.get_model("quantized_shufflenet_v2_x0_5", **arguments).eval()
    kernels = zoo.get_model("quantized_shufflenet_v2_x0_5", weights="DIGITS_V1").eval()
    with torch.inference_mode():
        x = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(plain(x), kernels(x), rtol=0, atol=0.5)


@differs(
    "int8 models whose engine has no kernel for their layers",
    "computed on that engine, slowly",
    "on oneDNN if the processor has VNNI, with differences of one rounding step; see `model.runs_on`",
)
def test_int8_engines() -> None:
    model: Any = zoo.get_model("quantized_shufflenet_v2_x0_5", weights="DIGITS_V1")
    assert model.engine == "fbgemm"
    assert model.runs_on in (None, *torch.backends.quantized.supported_engines)


@pytest.mark.usefixtures("local_names")
@differs("`list_models()`", "torchvision's", "those of every installed plugin, without importing torch")
def test_models_of_plugins() -> None:
    @zoo.register_model(task="image-classification")
    def mine() -> torch.nn.Module:
        return torch.nn.Identity()

    assert {"resnet18", "mine"} <= set(models.list_models())
