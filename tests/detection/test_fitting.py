"""Parts replaced after construction: errors name the parts that do not match, with both numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import InvalidArgument
from zoo.ops import MultiScaleRoIAlign
from zoo_detection import (
    FCOS,
    SSD,
    AnchorGenerator,
    DefaultBoxGenerator,
    FasterRCNN,
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    FCOSHead,
    KeypointRCNN,
    KeypointRCNNHeads,
    KeypointRCNNPredictor,
    MaskRCNN,
    MaskRCNNHeads,
    MaskRCNNPredictor,
    RetinaNet,
    RetinaNetHead,
    RPNHead,
    SSDHead,
    SSDLiteHead,
    TwoMLPHead,
)

IMAGES = [torch.rand(3, 64, 96)]
TARGETS = [
    {
        "boxes": torch.tensor([[4.0, 5, 40, 50], [20, 10, 60, 44]]),
        "labels": torch.tensor([1, 2]),
        "masks": torch.ones(2, 64, 96, dtype=torch.uint8),
        "keypoints": torch.tensor([[[25.0, 20, 1], [22, 15, 2]]]).expand(2, -1, -1),
    }
]
CHANNELS = 32


class Maps(nn.Module):
    """Two maps, of strides 8 and 16."""

    def __init__(self, channels: int = CHANNELS, second: int | None = None) -> None:
        super().__init__()
        self.out_channels: Any = channels if second is None else (channels, second)
        self.first = nn.Conv2d(3, channels, 3, 8, 1)
        self.second = nn.Conv2d(channels, second or channels, 3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = self.first(x)
        return {"0": first, "1": self.second(first)}


def anchors(sizes: int = 1, maps: int = 2) -> AnchorGenerator:
    return AnchorGenerator(tuple(tuple(16 * 2**i + j for j in range(sizes)) for i in range(maps)))  # 3 shapes


def pool(size: int) -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign(["0", "1"], size, 2)


def rcnn(kind: type[FasterRCNN], **options: Any) -> FasterRCNN:
    sizes = {"min_size": 64, "max_size": 96, "rpn_post_nms_top_n_test": 20, "box_score_thresh": 0.0}
    own = {"box_head": TwoMLPHead(CHANNELS * 9, 64), "box_predictor": FastRCNNPredictor(64, 4), "box_roi_pool": pool(3)}
    return kind(Maps(), rpn_anchor_generator=anchors(), **{**sizes, **own, **options})


def mask_rcnn() -> FasterRCNN:
    head, predictor = MaskRCNNHeads(CHANNELS, (8,), 1), MaskRCNNPredictor(8, 8, 4)
    return rcnn(MaskRCNN, mask_roi_pool=pool(4), mask_head=head, mask_predictor=predictor)


def keypoint_rcnn() -> FasterRCNN:
    head, predictor = KeypointRCNNHeads(CHANNELS, (8,)), KeypointRCNNPredictor(8, 2)
    return rcnn(KeypointRCNN, keypoint_roi_pool=pool(4), keypoint_head=head, keypoint_predictor=predictor)


def dense(kind: type[RetinaNet] | type[FCOS]) -> Any:
    generator = anchors() if kind is RetinaNet else AnchorGenerator(((8,), (16,)), (1.0,))
    return kind(Maps(), 4, min_size=64, max_size=96, anchor_generator=generator, score_thresh=0.0)


def ssd(lite: bool = False) -> SSD:
    backbone, boxes = Maps(8, 16), DefaultBoxGenerator([[2], [2, 3]])
    head = SSDLiteHead((8, 16), [4, 6], 4, nn.BatchNorm2d) if lite else None
    return SSD(backbone, boxes, (96, 64), 4, head=head, score_thresh=0.0)


DETECTORS: dict[str, Callable[[], Any]] = {
    "faster_rcnn": lambda: rcnn(FasterRCNN),
    "mask_rcnn": mask_rcnn,
    "keypoint_rcnn": keypoint_rcnn,
    "retinanet": lambda: dense(RetinaNet),
    "fcos": lambda: dense(FCOS),
    "ssd": ssd,
    "ssdlite": lambda: ssd(lite=True),
}
RPN = {
    "rpn.anchor_generator": (
        lambda: anchors(2),
        r"rpn.head predicts \[3, 3\] boxes .* 360 in total.* \[6, 6\] .*720 in",
    ),
    "rpn.head": (lambda: RPNHead(CHANNELS, 5), r"\[5, 5\] boxes per cell of its maps.* creates \[3, 3\] anchors"),
    "rpn.head.cls_logits": (lambda: nn.Conv2d(CHANNELS, 6, 1), "6 scores per cell of map 0, but 3 boxes .*expected 3"),
    "rpn.head.conv": (lambda: nn.Conv2d(16, CHANNELS, 1), r"rpn\.head\.conv takes 16 channels, but received 32"),
    "rpn": (None, "There are 2 feature maps, but sizes and aspect_ratios for 3"),
    "backbone": (lambda: Maps(24), r"rpn\.head\.conv\.0\.0 takes 32 channels, but received 24"),
    "backbone.second": (lambda: nn.Conv2d(30, 32, 3, 2, 1), r"backbone\.second takes 30 channels, but received 32"),
    "roi_heads.box_roi_pool": (lambda: pool(5), r"box_head\.fc6 takes 288 features, but received 800"),
    "roi_heads.box_head": (lambda: TwoMLPHead(288, 48), r"box_predictor\.cls_score takes 64 features, but received 48"),
    "roi_heads.box_predictor.bbox_pred": (
        lambda: nn.Linear(64, 28),
        r"the number of boxes of .* is 7, .* its scores 4",
    ),
    "roi_heads.box_predictor.cls_score": (lambda: nn.Linear(64, 3), r"the number of boxes of .* is 4, .* its scores 3"),
}
CONV_FC = FastRCNNConvFCHead((CHANNELS, 5, 5), [8], [64])
MISFITS: dict[str, dict[str, tuple[Any, str]]] = {
    "faster_rcnn": {**RPN, "roi_heads.box_head ": (lambda: CONV_FC, "box_head.2 takes 200 features, but received 72")},
    "mask_rcnn": {
        **{key: RPN[key] for key in ("rpn.anchor_generator", "roi_heads.box_roi_pool")},
        "roi_heads.mask_predictor": (lambda: MaskRCNNPredictor(8, 8, 6), "mask_predictor is 6, .*box_predictor 4"),
        "roi_heads.box_predictor": (lambda: FastRCNNPredictor(64, 3), "mask_predictor is 4, .*box_predictor 3"),
        "roi_heads.mask_head": (
            lambda: MaskRCNNHeads(CHANNELS, (6,), 1),
            r"conv5_mask takes 8 channels, .* received 6",
        ),
        "roi_heads.mask_head.0": (lambda: nn.Conv2d(30, 8, 1), r"mask_head\.0 takes 30 channels, but received 32"),
    },
    "keypoint_rcnn": {
        **{key: RPN[key] for key in ("rpn.anchor_generator", "roi_heads.box_roi_pool")},
        "roi_heads.keypoint_head": (
            lambda: KeypointRCNNHeads(CHANNELS, (6,)),
            "lowres takes 8 channels, .* received 6",
        ),
    },
    "retinanet": {
        "anchor_generator": (lambda: anchors(2), r"head predicts \[3, 3\] boxes .* creates \[6, 6\] anchors"),
        "anchor_generator ": (lambda: anchors(1, 3), "There are 2 feature maps, but sizes and aspect_ratios for 3"),
        "head": (lambda: RetinaNetHead(CHANNELS, 9, 4), r"\[9, 9\] boxes .* creates \[3, 3\] anchors"),
        "head ": (lambda: RetinaNetHead(30, 3, 4), r"head\.classification_head\.conv\.0\.0 takes 30 channels, .* 32"),
        "head.classification_head.cls_logits": (
            lambda: nn.Conv2d(CHANNELS, 3 * 7, 3, padding=1),
            "returns 21 scores per cell of map 0, but 3 boxes with 4 scores each; expected 12",
        ),
        "backbone": (lambda: Maps(24), "takes 32 channels, but received 24"),
    },
    "fcos": {
        "anchor_generator": (lambda: anchors(1), r"head predicts \[1, 1\] boxes .* creates \[3, 3\] anchors"),
        "head": (lambda: FCOSHead(64, 1, 4), "takes 64 channels, but received 32"),
        "head.classification_head.cls_logits": (lambda: nn.Conv2d(CHANNELS, 7, 1), "7 scores .*; expected 4"),
        "head.regression_head.bbox_ctrness": (lambda: nn.Conv2d(CHANNELS, 2, 1), "2 scores .*; expected 1"),
    },
    "ssd": {
        "anchor_generator": (lambda: DefaultBoxGenerator([[2], [2]]), r"head predicts \[4, 6\] boxes .* \[4, 4\] anch"),
        "anchor_generator ": (
            lambda: DefaultBoxGenerator([[2]] * 3),
            "There are 2 feature maps but aspect_ratios for 3",
        ),
        "head": (lambda: SSDHead((8, 16), [4, 4], 4), r"head predicts \[4, 4\] boxes .* creates \[4, 6\] anchors"),
        "head ": (lambda: SSDHead((8, 8), [4, 6], 4), r"module_list\.1 takes 8 channels, but received 16"),
        "head  ": (lambda: SSDHead((8, 16, 8), [4, 6, 4], 4), "modules of the head is 3, but that of feature maps 2"),
        "head.classification_head": (
            lambda: SSDHead((8, 16), [4, 4], 4).classification_head,
            "16 scores per cell of map 1, but 6 boxes with 4 scores each; expected 24",
        ),
        "backbone": (lambda: Maps(8, 12), "takes 16 channels, but received 12"),
    },
    "ssdlite": {
        "anchor_generator": (lambda: DefaultBoxGenerator([[2], [2]]), r"head predicts \[4, 6\] boxes .* \[4, 4\] anch"),
        "head": (lambda: SSDLiteHead((8, 8), [4, 6], 4, nn.BatchNorm2d), "takes 8 channels, but received 16"),
    },
}
ALL = [(name, path) for name, paths in MISFITS.items() for path in paths]


def replaced(name: str, path: str) -> Any:
    model = DETECTORS[name]()
    part, _ = MISFITS[name][path]
    parent, _, leaf = path.strip().rpartition(".")
    if part is None:
        model.rpn.anchor_generator = anchors(1, 3)
    else:
        setattr(model.get_submodule(parent), leaf, part())
    return model


@pytest.mark.parametrize(("name", "path"), ALL)
def test_parts_that_do_not_fit_are_named_with_both_numbers(name: str, path: str) -> None:
    model = replaced(name, path)
    message = MISFITS[name][path][1]
    with pytest.raises(InvalidArgument, match=message), torch.no_grad():
        model.eval()(IMAGES)
    with pytest.raises(InvalidArgument, match=message):
        model.train()(IMAGES, TARGETS)
    assert not any(m._forward_pre_hooks for m in model.modules()), "no hook is left on the parts"


@pytest.mark.parametrize("name", DETECTORS)
def test_parts_that_fit_are_taken(name: str) -> None:
    model = DETECTORS[name]()
    assert all(loss.isfinite() for loss in model(IMAGES, TARGETS).values())
    if hasattr(model, "rpn"):
        model.rpn.anchor_generator, model.rpn.head = anchors(2), RPNHead(CHANNELS, 6)
        model.roi_heads.box_roi_pool, model.roi_heads.box_head = pool(5), TwoMLPHead(CHANNELS * 25, 64)
    elif name == "retinanet":
        model.anchor_generator, model.head = anchors(2), RetinaNetHead(CHANNELS, 6, 3)
    assert all(loss.isfinite() for loss in model(IMAGES, TARGETS).values())
    with torch.no_grad():
        assert len(model.eval()(IMAGES)) == 1


def test_without_detections_the_declared_classes_of_masks_count() -> None:
    model = replaced("mask_rcnn", "roi_heads.mask_predictor").eval()
    model.roi_heads.score_thresh = 1.0
    with pytest.raises(InvalidArgument, match=r"mask_predictor is 6, .*box_predictor 4"):
        model(IMAGES)


def test_keypoints_of_another_predictor_than_the_targets() -> None:
    model = keypoint_rcnn()
    model.roi_heads.keypoint_predictor = nn.Conv2d(8, 5, 1)  # its number of keypoints is known only from its output
    model.roi_heads.keypoint_predictor.out_channels = 2
    with pytest.raises(InvalidArgument, match=r"keypoints of the targets is 2, .*keypoint_predictor 5"):
        model(IMAGES, TARGETS)


def test_errors_of_another_kind_are_left_as_they_are() -> None:
    class Broken(RPNHead):
        def forward(self, x: Any) -> Any:
            raise RuntimeError("out of order")

    model = DETECTORS["faster_rcnn"]()
    model.rpn.head = Broken(CHANNELS, 3)
    with pytest.raises(RuntimeError, match="out of order"):
        model.eval()(IMAGES)


@pytest.mark.parametrize("name", ["faster_rcnn", "ssd"])
def test_misfits_are_told_in_a_compiled_model_too(name: str) -> None:
    path = "rpn.anchor_generator" if name == "faster_rcnn" else "anchor_generator"
    model = replaced(name, path).eval()
    with pytest.raises((InvalidArgument, torch._dynamo.exc.TorchDynamoException), match="expected the same"):
        torch.compile(model, backend="eager")(IMAGES)
    torch.compiler.reset()
