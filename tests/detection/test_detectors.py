"""All detectors, with small parts: inputs, outputs, and batches without objects."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument
from zoo.ops import MultiScaleRoIAlign
from zoo_detection import (
    SSD,
    AnchorGenerator,
    DefaultBoxGenerator,
    FasterRCNN,
    FastRCNNPredictor,
    KeypointRCNNHeads,
    MaskRCNNHeads,
    paste_masks,
)

SIZE = {"min_size": 64, "max_size": 96}
RCNN = {
    **SIZE,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 5,
    "rpn_post_nms_top_n_train": 40,
    "rpn_post_nms_top_n_test": 20,
}
DENSE = {**SIZE, "score_thresh": 0.0, "detections_per_img": 5}
IMAGES = [torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(i)) for i in range(2)]
VARIED = [IMAGES[0], IMAGES[1][:, :45, :70]]


class TinyMaps(nn.Module):
    out_channels = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 8, 1), nn.Conv2d(8, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = self.first(x)
        return {"a": first, "b": self.second(first)}


class TinyBackbone(nn.Module):
    out_channels = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def tiny_ssd(**kwargs: Any) -> SSD:
    options = {"score_thresh": 0.0, "detections_per_img": 5, **kwargs}
    return SSD(TinyMaps(), DefaultBoxGenerator([[2], [2, 3]]), (64, 64), 4, **options)


def small_rcnn(name: str, **kwargs: Any) -> nn.Module:
    """With the heads' parts replaced by smaller ones."""
    options = {"box_roi_pool": MultiScaleRoIAlign(["0", "1", "2", "3"], 3, 2), **RCNN, **kwargs}
    return zoo.get_model(name, backbone="squeezenet1_1", num_classes=4, **options)


def small_keypoint_rcnn(**kwargs: Any) -> nn.Module:
    return small_rcnn("keypointrcnn", num_keypoints=2, keypoint_head=KeypointRCNNHeads(256, (512,)), **kwargs)


def small_dense(name: str, **kwargs: Any) -> nn.Module:
    return zoo.get_model(name, backbone="squeezenet1_1", num_classes=4, **{**DENSE, **kwargs})


DETECTORS = {
    "fasterrcnn": functools.partial(small_rcnn, "fasterrcnn"),
    "maskrcnn": functools.partial(small_rcnn, "maskrcnn"),
    "keypointrcnn": small_keypoint_rcnn,
    "retinanet": functools.partial(small_dense, "retinanet"),
    "fcos": functools.partial(small_dense, "fcos"),
    "ssd": tiny_ssd,
}
each_detector = pytest.mark.parametrize("name", DETECTORS)


@functools.cache
def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return DETECTORS[name]()


def detector(name: str) -> Any:
    """The model in eval mode and without gradients, independent of other tests."""
    model = built(name).eval()
    model.zero_grad()
    return model


def targets(images: list[Tensor], objects: int) -> list[dict[str, Tensor]]:
    boxes = torch.tensor([[4.0, 5, 30, 40], [20, 10, 60, 44], [2, 2, 50, 30]])[:objects]
    return [
        {
            "boxes": boxes,
            "labels": torch.tensor([1, 2, 3])[:objects],
            "masks": torch.ones(objects, *image.shape[-2:], dtype=torch.uint8),
            "keypoints": torch.tensor([[[25.0, 20, 1], [22, 15, 2]]]).expand(objects, -1, -1),
        }
        for image in images
    ]


def close(a: Any, b: Any) -> bool:
    return all(
        x.keys() == y.keys() and all(torch.allclose(x[k], y[k], atol=1e-4) for k in x)
        for x, y in zip(a, b, strict=True)
    )


@each_detector
def test_detections_are_in_the_images(name: str) -> None:
    with torch.no_grad():
        found = detector(name)(VARIED)
    for image, detections in zip(VARIED, found, strict=True):
        height, width = image.shape[-2:]
        boxes, scores = detections["boxes"], detections["scores"]
        assert 0 < len(boxes) <= 5
        assert boxes.min() >= 0
        assert (boxes[:, 0::2] <= width + 1e-3).all()
        assert (boxes[:, 1::2] <= height + 1e-3).all()
        assert boxes[:, 2:].max() > 20, "in pixels of the image, not in cells"
        assert torch.equal(scores, scores.sort(descending=True).values)
        assert detections["labels"].dtype == torch.int64
        assert detections["labels"].min() >= (1 if detector(name).has_background else 0)
        assert detections["labels"].max() <= 3
        if name == "maskrcnn":
            assert detections["masks"].shape == (len(boxes), 1, height, width)
        if name == "keypointrcnn":
            assert detections["keypoints"].shape == (len(boxes), 2, 3)
            x, y = detections["keypoints"][..., 0], detections["keypoints"][..., 1]
            assert ((x >= boxes[:, :1] - 1e-3) & (x <= boxes[:, 2:3] + 1e-3)).all()
            assert ((y >= boxes[:, 1:2] - 1e-3) & (y <= boxes[:, 3:] + 1e-3)).all()
            assert detections["keypoints_scores"].shape == (len(boxes), 2)


@each_detector
def test_a_list_and_a_batch_are_the_same(name: str) -> None:
    model = detector(name)
    with torch.no_grad():
        assert close(model(IMAGES), model(torch.stack(IMAGES)))


@each_detector
def test_an_image_in_a_batch_of_other_sizes_is_resized_as_it_is_alone(name: str) -> None:
    model = detector(name)
    batch, _ = model.transform(VARIED)
    for i, image in enumerate(VARIED):
        alone, _ = model.transform([image])
        height, width = alone.image_sizes[0]
        assert batch.image_sizes[i] == (height, width)
        torch.testing.assert_close(batch.tensors[i, :, :height, :width], alone.tensors[0, :, :height, :width])
        assert not batch.tensors[i, :, height:].any()
        assert not batch.tensors[i, :, :, width:].any()


@each_detector
@pytest.mark.parametrize("objects", [(2, 3), (0, 2), (0, 0)])
def test_losses_and_gradients_are_finite(name: str, objects: tuple[int, int]) -> None:
    """Batches with objects in all images, in some, in none."""
    model = detector(name).train()
    given = [targets([image], n)[0] for image, n in zip(VARIED, objects, strict=True)]
    losses = model(VARIED, given)
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name
    for buffer_name, buffer in model.named_buffers():
        assert buffer.isfinite().all(), buffer_name


@each_detector
def test_return_losses_gives_both_in_eval_mode(name: str) -> None:
    model = detector(name)
    given = targets(VARIED, 2)
    with torch.no_grad():
        losses, detections = model(VARIED, given, return_losses=True)
        assert close(detections, model(VARIED))
    assert not model.training
    assert set(losses) == set(model.train()(VARIED, given))
    assert all(loss.isfinite() for loss in losses.values())


@each_detector
def test_training_without_or_with_wrong_targets_is_refused(name: str) -> None:
    model = detector(name).train()
    with pytest.raises(InvalidArgument, match="targets=None for 2 images"):
        model(IMAGES)
    wrong = targets(IMAGES, 2)
    wrong[1]["labels"] = torch.tensor([1, 9])
    wrong[1]["boxes"] = wrong[1]["boxes"][:, [2, 1, 0, 3]]
    with pytest.raises(InvalidArgument, match=r"3 problem.*\n  image 1, box 0: .*\n.*\n  image 1, box 1: label 9"):
        model(IMAGES, wrong)


@each_detector
def test_wrong_images_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="image 1: values up to"):
        detector(name)([IMAGES[0], IMAGES[1] * 255])
    with pytest.raises(InvalidArgument, match="For a single image pass"):
        detector(name)(IMAGES[0])


@each_detector
def test_half_precision_leaves_boxes_in_single(name: str) -> None:
    model = detector(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            found = model(VARIED)
        losses = model.train()(VARIED, targets(VARIED, 2))
    sum(losses.values()).backward()
    assert all(d["boxes"].dtype == d["scores"].dtype == torch.float32 for d in found)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())


def test_an_argument_that_nobody_takes_is_an_error() -> None:
    with pytest.raises(TypeError, match="score_threshold"):
        tiny_ssd(score_threshold=0.5)


@pytest.mark.parametrize("name", ["fasterrcnn", "retinanet", "ssd"])
def test_without_a_transform_the_caller_resizes_and_normalises(name: str) -> None:
    torch.manual_seed(0)
    bare = DETECTORS[name](transform=None).eval()
    bare.load_state_dict(built(name).state_dict())
    batch, _ = detector(name).transform(IMAGES)
    height, width = batch.image_sizes[0]
    prepared = batch.tensors[:, :, :height, :width]
    with torch.no_grad():
        found, want = bare(prepared), detector(name)(IMAGES)
    x, y = 80 / width, 60 / height
    for mine, theirs in zip(found, want, strict=True):
        torch.testing.assert_close(mine["boxes"] * torch.tensor([x, y, x, y]), theirs["boxes"], atol=1e-3, rtol=0)
        assert torch.equal(mine["labels"], theirs["labels"])


def test_label_0_is_an_object_where_there_is_no_background() -> None:
    given = [{**t, "labels": t["labels"] - 1} for t in targets(IMAGES, 2)]
    assert detector("retinanet").train()(IMAGES, given)
    with pytest.raises(InvalidArgument, match="0-based"):
        detector("ssd").train()(IMAGES, given)


def test_masks_of_boxes_pasted_are_the_full_ones() -> None:
    model = detector("maskrcnn")
    with torch.no_grad():
        full = model(VARIED)
        model.mask_format = "roi"
        small = model(VARIED)
        model.mask_format = "full"
    for image, a, b in zip(VARIED, full, small, strict=True):
        assert b["masks"].shape[1:] == (1, 28, 28)
        torch.testing.assert_close(paste_masks(b["masks"], b["boxes"], tuple(image.shape[-2:])), a["masks"])
    with pytest.raises(InvalidArgument, match="expected one of full, roi"):
        DETECTORS["maskrcnn"](mask_format="coco")


def test_a_replaced_predictor_says_how_many_classes_there_are() -> None:
    model = DETECTORS["fasterrcnn"]()
    model.roi_heads.box_predictor = FastRCNNPredictor(1024, 12)
    assert model.num_classes == 12
    given = targets(IMAGES, 2)
    given[0]["labels"] = torch.tensor([11, 1])
    assert model.train()(IMAGES, given)["loss_classifier"].isfinite()


def test_a_backbone_with_one_map_makes_a_faster_rcnn() -> None:
    with pytest.raises(InvalidArgument, match="num_classes is None and box_predictor not given"):
        FasterRCNN(TinyBackbone())
    with pytest.raises(InvalidArgument, match="out_channels is None"):
        FasterRCNN(nn.ReLU(), 4)
    model = FasterRCNN(TinyBackbone(), 4, rpn_anchor_generator=AnchorGenerator(((16, 32),)), **RCNN)
    losses = model(IMAGES, targets(IMAGES, 2))
    assert all(loss.isfinite() for loss in losses.values())
    assert len(model.eval()(IMAGES)) == 2


@pytest.mark.parametrize(
    ("name", "backbone", "levels"),
    [
        ("fasterrcnn", "convnext_tiny", 5),  # maps of four strides
        ("retinanet", "swin_t", 5),  # maps [N, H, W, C]
        ("fcos", "regnet_x_400mf", 5),
        ("maskrcnn", "vgg11", 5),
        ("keypointrcnn", "efficientnet_b0", 5),
    ],
)
def test_any_model_with_stages_is_a_backbone(name: str, backbone: str, levels: int) -> None:
    """On the meta device, so that size costs nothing: shapes of the pyramid's outputs, and trained parameters."""
    with torch.device("meta"):
        model: Any = zoo.get_model(name, backbone=backbone, num_classes=5)
        maps = model.backbone(torch.empty(2, 3, 256, 320))
    assert len(maps) == levels
    sides = [m.shape[-1] for m in maps.values()]
    assert sides == sorted(sides, reverse=True)
    assert all(m.shape[:2] == (2, 256) for m in maps.values())
    generator = model.rpn.anchor_generator if hasattr(model, "rpn") else model.anchor_generator
    assert len(generator.per_level((256, 320), list(maps.values()))) == levels
    network = model.backbone.body.body.model
    assert not any(p.requires_grad for p in list(network.parameters())[-2:]), "the classifier is not used"


def test_a_built_backbone_is_taken_as_it_is() -> None:
    network = zoo.get_model("squeezenet1_1")
    model: Any = zoo.get_model("fcos", backbone=network, num_classes=5)
    assert model.backbone.body.body.model is network
    with pytest.raises(InvalidArgument, match="the backbone is already built"):
        zoo.get_model("fcos", backbone=network, weights_backbone="DEFAULT")
    with pytest.raises(InvalidArgument, match="no feature_info"):
        zoo.get_model("fcos", backbone=nn.Conv2d(3, 3, 1))


def test_batch_statistics_survive_a_batch_without_objects() -> None:
    """Mask R-CNN V2 has batch norm in its mask head, which fails on empty batches."""
    head = MaskRCNNHeads(256, (256,), dilation=1, norm_layer=nn.BatchNorm2d)
    model = DETECTORS["maskrcnn"](mask_head=head).train()
    before = head[0][1].running_mean.clone()
    losses = model(IMAGES, targets(IMAGES, 0))
    losses["loss_mask"].backward()
    assert losses["loss_mask"] == 0
    assert torch.equal(head[0][1].running_mean, before)
    assert not head[0][0].weight.grad.any()
