"""Methods that research code overrides or calls, with torchvision's names and signatures."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo
from zoo_detection import (
    AnchorGenerator,
    FasterRCNN,
    GeneralizedRCNNTransform,
    KeypointRCNN,
    MaskRCNN,
    RegionProposalNetwork,
    RoIHeads,
    check_targets,
)
from zoo_detection.roi_heads import fastrcnn_loss
from zoo_detection.rpn import concat_box_prediction_layers

SMALL = {"backbone": "squeezenet1_1", "num_classes": 4, "min_size": 64, "max_size": 96}
IMAGES = [torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(i)) for i in range(2)]
TARGETS = [
    {"boxes": torch.tensor([[4.0, 5, 30, 40], [20, 10, 60, 44]]), "labels": torch.tensor([1, 2])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
]


def faster_rcnn(**options: Any) -> Any:
    torch.manual_seed(0)
    return zoo.get_model("fasterrcnn", **SMALL, box_score_thresh=0.0, **options)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (RegionProposalNetwork.assign_targets_to_anchors, ["anchors", "targets"]),
        (
            RegionProposalNetwork.filter_proposals,
            ["proposals", "objectness", "image_shapes", "num_anchors_per_level"],
        ),
        (
            RegionProposalNetwork.compute_loss,
            ["objectness", "pred_bbox_deltas", "labels", "regression_targets"],
        ),
        (RoIHeads.select_training_samples, ["proposals", "targets"]),
        (RoIHeads.postprocess_detections, ["class_logits", "box_regression", "proposals", "image_shapes"]),
        (RoIHeads.has_mask, []),
        (RoIHeads.has_keypoint, []),
        (GeneralizedRCNNTransform.batch_images, ["images"]),
        (AnchorGenerator.forward, ["image_list", "feature_maps"]),
        (fastrcnn_loss, ["class_logits", "box_regression", "labels", "regression_targets"]),
        (concat_box_prediction_layers, ["box_cls", "box_regression"]),
    ],
)
def test_arguments_without_default_are_those_known(method: Any, parameters: list[str]) -> None:
    found = inspect.signature(method).parameters.values()
    assert [p.name for p in found if p.name != "self" and p.default is p.empty] == parameters


OVERRIDDEN = {
    "rpn.filter_proposals": False,
    "rpn.assign_targets_to_anchors": True,
    "rpn.compute_loss": True,
    "rpn.anchor_generator.forward": False,
    "roi_heads.select_training_samples": True,
    "roi_heads.postprocess_detections": False,
    "roi_heads.has_mask": False,
    "roi_heads.has_keypoint": False,
    "transform.batch_images": False,
}


@pytest.mark.parametrize("on", ["class", "instance"])
@pytest.mark.parametrize(("path", "training"), OVERRIDDEN.items())
def test_overriding_has_an_effect(path: str, training: bool, on: str) -> None:
    model, calls = faster_rcnn().train(training), []
    owner, _, method = path.rpartition(".")
    part = model.get_submodule(owner)
    own = getattr(type(part), method)

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(path)
        return own(self, *args, **kwargs)

    if on == "class":
        part.__class__ = type("Own", (type(part),), {method: spy})
    else:
        setattr(part, method, spy.__get__(part))
    model(IMAGES, TARGETS if training else None)
    assert calls


def test_fewer_proposals_of_an_own_filter_are_all_that_there_are() -> None:
    class Few(RegionProposalNetwork):
        def filter_proposals(
            self, proposals: Any, objectness: Any, image_shapes: Any, num_anchors_per_level: Any
        ) -> Any:
            boxes, scores = super().filter_proposals(proposals, objectness, image_shapes, num_anchors_per_level)
            return [b[:2] for b in boxes], [s[:2] for s in scores]

    model = faster_rcnn(box_nms_thresh=1.0, box_detections_per_img=1000).eval()
    with torch.no_grad():
        before = model(IMAGES)
        model.rpn.__class__ = Few
        found = model(IMAGES)
        torch.compiler.reset()
        compiled = torch.compile(model, backend="eager")(IMAGES)
        torch.compiler.reset()
    assert [len(f["boxes"]) for f in found] == [len(f["boxes"]) for f in compiled] == [2 * 3] * 2  # three classes
    assert all(len(f["boxes"]) > 6 for f in before)


def test_own_anchors_move_the_proposals() -> None:
    class Shifted(AnchorGenerator):
        def forward(self, image_list: Any, feature_maps: Any) -> list[Tensor]:
            return [anchors + 4.0 for anchors in super().forward(image_list, feature_maps)]

    for name in ("fasterrcnn", "retinanet"):
        torch.manual_seed(0)
        model: Any = zoo.get_model(name, **SMALL).eval()
        holder = getattr(model, "rpn", model)
        batch, _ = model.transform(IMAGES)
        with torch.no_grad():
            features = model.features(batch)
            before = holder.predict(batch, features)[-1 if name == "retinanet" else 2]
            holder.anchor_generator.__class__ = Shifted
            after = holder.predict(batch, features)[-1 if name == "retinanet" else 2]
        for a, b in zip(before, after, strict=True):
            assert torch.equal(a + 4.0, b)


def test_validation_losses_by_the_known_recipe_are_those_of_return_losses() -> None:
    """The losses of a model in eval mode, computed with its parts as in forum threads."""
    model = faster_rcnn().eval()
    torch.manual_seed(5)
    with torch.no_grad():
        want, detections = model(IMAGES, TARGETS, return_losses=True)
    torch.manual_seed(5)
    with torch.no_grad():
        images, targets = model.transform(IMAGES, TARGETS)
        features = model.backbone(images.tensors)
        maps = list(features.values())
        objectness, deltas = model.rpn.head(maps)
        anchors = model.rpn.anchor_generator(images, maps)
        per_level = [level[0].numel() for level in objectness]
        objectness, deltas = concat_box_prediction_layers(objectness, deltas)
        assert objectness.shape == (len(anchors[0]) * 2, 1)
        proposals = model.rpn.box_coder.decode(deltas.detach(), anchors).view(len(anchors), -1, 4)
        proposals, _ = model.rpn.filter_proposals(proposals, objectness, images.image_sizes, per_level)
        labels, boxes = model.rpn.assign_targets_to_anchors(anchors, targets)
        wanted = model.rpn.box_coder.encode(boxes, anchors)
        found = dict(
            zip(
                ("loss_objectness", "loss_rpn_box_reg"),
                model.rpn.compute_loss(objectness, deltas, labels, wanted),
                strict=True,
            )
        )
        sampled, _, labels, wanted = model.roi_heads.select_training_samples(proposals, targets)
        regions = model.roi_heads.box_head(model.roi_heads.box_roi_pool(features, sampled, images.image_sizes))
        logits, deltas = model.roi_heads.box_predictor(regions)
        found["loss_classifier"], found["loss_box_reg"] = fastrcnn_loss(logits, deltas, labels, wanted)
        boxes, scores, labels = model.roi_heads.postprocess_detections(logits, deltas, sampled, images.image_sizes)
    assert found.keys() == want.keys()
    for name, loss in want.items():
        torch.testing.assert_close(found[name], loss, msg=name)
    assert len(boxes) == len(scores) == len(labels) == len(detections) == 2
    assert not model.roi_heads.has_mask()
    assert not model.roi_heads.has_keypoint()


def test_labels_of_anchors_are_object_background_or_neither() -> None:
    rpn = faster_rcnn().rpn
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])
    nothing = {"boxes": torch.zeros(0, 4)}
    labels, boxes = rpn.assign_targets_to_anchors([anchors] * 2, [{"boxes": anchors[:1]}, nothing])
    assert [each.tolist() for each in labels] == [[1, -1, 0], [0, 0, 0]]
    assert boxes[0][0].tolist() == [0, 0, 10, 10]
    assert [len(each) for each in boxes] == [3, 3]


def test_heads_say_what_they_have() -> None:
    with torch.device("meta"):
        masks: Any = zoo.get_model("maskrcnn", **SMALL)
        points: Any = zoo.get_model("keypointrcnn", **SMALL)
    assert isinstance(masks, MaskRCNN)
    assert isinstance(points, KeypointRCNN)
    assert (masks.roi_heads.has_mask(), masks.roi_heads.has_keypoint()) == (True, False)
    assert (points.roi_heads.has_mask(), points.roi_heads.has_keypoint()) == (False, True)


def test_batch_images_puts_images_of_any_sizes_together() -> None:
    transform = GeneralizedRCNNTransform(64, 96, [0.5] * 3, [0.5] * 3)
    batch = transform.batch_images([torch.ones(3, 5, 9), torch.ones(3, 8, 3)], 8)
    assert batch.shape == (2, 3, 8, 16)
    assert batch.sum((1, 2, 3)).tolist() == [3 * 45, 3 * 24]
    assert transform.batch_images([torch.ones(3, 5, 9)]).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("shape", [(0, 2, 3), (0,)])
@pytest.mark.parametrize("size", [(64, 85), (60, 80)])
def test_keypoints_of_no_boxes_have_either_shape(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = zoo.get_model("keypointrcnn", **{**SMALL, "num_classes": 2}, num_keypoints=2)
    one = {"boxes": TARGETS[0]["boxes"][:1], "labels": torch.tensor([1]), "keypoints": torch.rand(1, 2, 3) + 10}
    one["keypoints"][..., 2] = 1
    empty = {**TARGETS[1], "keypoints": torch.zeros(shape)}
    images = [torch.rand(3, *size) for _ in range(2)]
    for targets in ([one, empty], [empty, one], [empty, empty]):
        assert check_targets(images, targets, num_keypoints=2) == []
        assert all(loss.isfinite() for loss in model(images, targets).values())


def test_counts_of_numpy_are_counts() -> None:
    n = np.int64
    options = {
        "min_size": n(64),
        "max_size": n(96),
        "box_detections_per_img": n(5),
        "rpn_pre_nms_top_n_test": n(20),
        "rpn_post_nms_top_n_test": n(10),
        "rpn_batch_size_per_image": n(16),
        "box_batch_size_per_image": n(8),
    }
    model = faster_rcnn(**{k: v for k, v in options.items() if k not in SMALL})
    model.transform = GeneralizedRCNNTransform(n(64), n(96), [0.5] * 3, [0.5] * 3, n(32))
    assert all(loss.isfinite() for loss in model(IMAGES, TARGETS).values())
    found = model.eval()(IMAGES)
    assert [len(f["boxes"]) for f in found] == [5, 5]
    dense = zoo.get_model("retinanet", **SMALL, detections_per_img=n(5), topk_candidates=n(50), score_thresh=0.0).eval()
    assert [len(f["boxes"]) for f in dense(IMAGES)] == [5, 5]
    backbone: Any = model.backbone
    backbone.out_channels = n(256)
    assert isinstance(FasterRCNN(backbone, 3, min_size=n(64)), FasterRCNN)
