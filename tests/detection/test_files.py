"""Files of detectors: every layout loads, another head is initialised, and mismatches are errors that name the keys."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import CheckpointError

# Present keys → those of older files.
OLD_KEYS = {
    "pyramid": (r"(.*fpn\.(?:inner|layer)_blocks\.\d+)\.0\.(weight|bias)", r"\1.\2"),
    "proposals": (r"(rpn\.head\.conv)\.0\.0\.(weight|bias)", r"\1.\2"),
    "masks": (
        r"(roi_heads\.mask_head)\.(\d)\.0\.(weight|bias)",
        lambda m: f"{m[1]}.mask_fcn{int(m[2]) + 1}.{m[3]}",
    ),
    "retinanet": (
        r"(head\.(?:classification|regression)_head\.conv)\.(\d)\.0\.(weight|bias)",
        lambda m: f"{m[1]}.{2 * int(m[2])}.{m[3]}",
    ),
}


def write_file(path: Path, model: nn.Module, *rules: str) -> dict[str, float]:
    """A small file that loads like the state of ``model``: every tensor is one number, repeated.

    Returns:
        Present key → the number.
    """
    state, numbers = {}, {}
    for i, (key, value) in enumerate(model.state_dict().items()):
        old = key
        for rule in rules:
            old = re.sub(f"^{OLD_KEYS[rule][0]}$", OLD_KEYS[rule][1], old)
        numbers[key] = float(i % 97 + 1)
        state[old] = torch.full((1,), numbers[key]).to(value.dtype).expand(value.shape) if value.ndim else value * 0
        if key.endswith("running_var"):  # older files have one for frozen batch norm too
            state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    torch.save(state, path)
    return numbers


def on_meta(name: str, **config: Any) -> nn.Module:
    with torch.device("meta"):
        model = zoo.get_model(name, **config)
    for key, value in model.state_dict().items():  # buffers without values cannot be written
        if not value.ndim:
            module, _, leaf = key.rpartition(".")
            setattr(model.get_submodule(module), leaf, torch.tensor(0))
    return model


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("fasterrcnn_resnet50_fpn", ("pyramid", "proposals")),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", ("pyramid", "proposals")),
        ("maskrcnn_resnet50_fpn", ("pyramid", "proposals", "masks")),
        ("keypointrcnn_resnet50_fpn", ("pyramid", "proposals")),
        ("retinanet_resnet50_fpn", ("pyramid", "retinanet")),
        ("fcos_resnet50_fpn", ("pyramid",)),
    ],
)
@pytest.mark.parametrize("old", [True, False])
def test_file_of_either_layout_loads(name: str, rules: tuple[str, ...], old: bool, tmp_path: Path) -> None:
    default = zoo.get_model_weights(name).DEFAULT.value
    numbers = write_file(tmp_path / "model.pth", on_meta(name, **default.config), *(rules if old else ()))
    model = zoo.get_model(name, weights=dataclasses.replace(default, url=str(tmp_path / "model.pth")))
    for key, value in model.state_dict().items():
        if value.ndim:
            assert value.flatten()[0] == numbers[key], key
    report = zoo.load_report(model)
    assert bool(report.converted) == old
    assert report.reinitialised == ()
    assert all(key.endswith("num_batches_tracked") for key in report.ignored)


PREDICTORS = {
    "fasterrcnn_resnet50_fpn_v2": {"roi_heads.box_predictor"},
    "maskrcnn_resnet50_fpn": {"roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits"},
    "keypointrcnn_resnet50_fpn": {"roi_heads.box_predictor"},
    "retinanet_resnet50_fpn": {"head.classification_head.cls_logits"},
    "fcos_resnet50_fpn": {"head.classification_head.cls_logits"},
    "ssd300_vgg16": {f"head.classification_head.module_list.{i}" for i in range(6)},
    "ssdlite320_mobilenet_v3_large": {f"head.classification_head.module_list.{i}.1" for i in range(6)},
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_another_number_of_classes_reinitialises_the_predictors_alone(name: str, tmp_path: Path) -> None:
    default = zoo.get_model_weights(name).DEFAULT.value
    numbers = write_file(tmp_path / "model.pth", on_meta(name, **default.config))
    mine = dataclasses.replace(default, url=str(tmp_path / "model.pth"))
    model = zoo.get_model(name, weights=mine, num_classes=5)
    report = zoo.load_report(model)
    assert {
        key.rpartition(".")[0].removesuffix(".cls_score").removesuffix(".bbox_pred") for key in report.reinitialised
    } == PREDICTORS[name]
    for key, value in model.state_dict().items():
        assert not value.is_meta
        if value.ndim and key not in report.reinitialised:
            assert value.flatten()[0] == numbers[key], key
    assert model.num_classes == 5


def test_file_of_another_detector_is_refused(tmp_path: Path) -> None:
    write_file(tmp_path / "model.pth", on_meta("fcos_resnet50_fpn", frozen_norm_eps=1e-5))
    with pytest.raises(CheckpointError, match=r"4 keys missing from the file: head\.classification_head\.conv\.1\.0"):
        zoo.get_model("retinanet_resnet50_fpn", weights=str(tmp_path / "model.pth"))


@pytest.mark.parametrize("reduced", [True, False])
@pytest.mark.parametrize("width", [1.0, 0.5])
def test_the_tail_of_an_ssdlite_is_told_from_its_file(reduced: bool, width: float, tmp_path: Path) -> None:
    name, built = "ssdlite320_mobilenet_v3_large", {"weights_backbone": None, "width_mult": width}
    write_file(tmp_path / "model.pth", on_meta(name, reduced_tail=reduced, **built))
    model: Any = zoo.get_model(name, weights=str(tmp_path / "model.pth"), width_mult=width)
    assert model.backbone.out_channels[1] == (480 if reduced else 960) * width
    assert zoo.load_report(model).reinitialised == ()
    with pytest.raises(CheckpointError, match="keys of another shape in the file"):
        zoo.get_model(name, weights=str(tmp_path / "model.pth"), width_mult=width, reduced_tail=not reduced)


def test_another_number_of_keypoints_reinitialises_their_predictor_alone(tmp_path: Path) -> None:
    name = "keypointrcnn_resnet50_fpn"
    path = tmp_path / "model.pth"
    write_file(path, on_meta(name, frozen_norm_eps=1e-5))
    model: Any = zoo.get_model(name, weights=str(path), num_keypoints=5)
    reinitialised = zoo.load_report(model).reinitialised
    assert {key.rpartition(".")[0] for key in reinitialised} == {"roi_heads.keypoint_predictor.kps_score_lowres"}
    assert model.roi_heads.keypoint_predictor.out_channels == 5
    write_file(path, on_meta(name, frozen_norm_eps=1e-5, num_keypoints=5, num_classes=4))
    told: Any = zoo.get_model(name, weights=str(path))  # inferred from the shapes of a bare file
    assert (told.num_classes, told.roi_heads.keypoint_predictor.out_channels) == (4, 5)
    described = zoo.Weights(url=str(path), config={"num_classes": 2, "num_keypoints": 17})
    with pytest.raises(CheckpointError, match="Pass num_classes=4 and num_keypoints=5 to keep the file's head"):
        zoo.get_model(name, weights=described)


@pytest.mark.parametrize("name", ["ssd300_vgg16", "retinanet_resnet50_fpn", "fasterrcnn_resnet50_fpn"])
def test_a_file_with_other_classes_says_how_many(name: str, tmp_path: Path) -> None:
    """The number of classes is per anchor, not the number of scores per cell."""
    write_file(tmp_path / "model.pth", on_meta(name, num_classes=6, weights_backbone=None))
    told: Any = zoo.get_model(name, weights=str(tmp_path / "model.pth"), weights_backbone=None)
    assert getattr(told, "num_classes", None) in (6, None)
    assert zoo.load_report(told).reinitialised == ()
    described = zoo.Weights(url=str(tmp_path / "model.pth"), config={"num_classes": 91})
    with pytest.raises(CheckpointError, match="Pass num_classes=6 to keep the file's head"):
        zoo.get_model(name, weights=described, weights_backbone=None)


def test_the_small_faster_rcnn_has_fewer_proposals() -> None:
    """Outputs of the published model; the reference data are of another one."""
    with torch.device("meta"):
        small, large = (zoo.get_model(f"fasterrcnn_mobilenet_v3_large_{size}fpn").rpn for size in ("320_", ""))
    assert small._pre_nms_top_n == small._post_nms_top_n == {"training": 2000, "testing": 150}
    assert large._pre_nms_top_n == large._post_nms_top_n == {"training": 2000, "testing": 1000}
    assert small.score_thresh == large.score_thresh == 0.05


def test_legacy_arguments_work_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"), pytest.warns(DeprecationWarning, match="weights_backbone=None"):
        model = zoo.get_model_builder("retinanet_resnet50_fpn")(pretrained=False, pretrained_backbone=False)
    assert {type(m) for m in model.modules() if "BatchNorm" in type(m).__name__} == {nn.BatchNorm2d}
    with torch.device("meta"), pytest.warns(DeprecationWarning, match=r"COCO_V1.*num_classes=…"):
        model = zoo.get_model_builder("keypointrcnn_resnet50_fpn")(True, True, 2, 17)
    assert {m.eps for m in model.modules() if isinstance(m, zoo.nn.FrozenBatchNorm2d)} == {0.0}
