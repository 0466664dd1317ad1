"""Keypoint R-CNN: Faster R-CNN for persons, and the keypoints of the person in every box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.errors import InvalidArgument
from zoo.features import Backbone
from zoo.nn import check_count
from zoo.ops import MultiScaleRoIAlign
from zoo_classification.resnet import ResNet
from zoo_detection.backbones import frozen_norm_resnet50, last_stages, on_backbone, once_meant, resnet_fpn
from zoo_detection.checkpoints import FPN_AND_RPN, present_keys
from zoo_detection.coco import KEYPOINT_NAMES
from zoo_detection.faster_rcnn import LEVELS, FasterRCNN, draw_relu, fpn_of
from zoo_detection.weights.keypoint_rcnn import KeypointRCNN_ResNet50_FPN_Weights

MIN_SIZES = (640, 672, 704, 736, 768, 800)  # of the shorter side in training; the last in evaluation


class KeypointRCNNHeads(nn.Sequential):
    """3×3 convolutions with ReLU: regions [R, in_channels, h, w] → [R, the last of ``layers``, h, w]."""

    def __init__(self, in_channels: int, layers: Sequence[int]) -> None:
        blocks: list[nn.Module] = []
        for out_channels in layers:
            blocks += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = out_channels
        super().__init__(*blocks)
        draw_relu(self)


class KeypointRCNNPredictor(nn.Module):
    """Regions [R, in_channels, h, w] → logits of the position of each keypoint, [R, num_keypoints, 4 * h, 4 * w]."""

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.kps_score_lowres = nn.ConvTranspose2d(in_channels, num_keypoints, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(self.kps_score_lowres.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.kps_score_lowres.bias)  # type: ignore[arg-type]
        self.up_scale = 2
        self.out_channels = num_keypoints

    def forward(self, x: Tensor) -> Tensor:
        x = self.kps_score_lowres(x)
        return F.interpolate(x, scale_factor=float(self.up_scale), mode="bilinear", align_corners=False)


class KeypointRCNN(FasterRCNN):
    """Keypoint R-CNN, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_, section 5.

    In addition to the outputs of :class:`FasterRCNN`, detections have ``keypoints`` [D, K, 3], x and y in pixels and 1,
    and ``keypoints_scores`` [D, K], logits. Targets need ``keypoints`` [N, K, 3], x, y and visibility, and there is a
    ``loss_keypoint``.

    Args:
        min_size: by default 640 to 800 in training and 800 in evaluation.
        keypoint_roi_pool, keypoint_head, keypoint_predictor: parts for keypoints; see :class:`zoo_detection.RoIHeads`.
        num_keypoints: by default the 17 of COCO's persons; None if a ``keypoint_predictor`` is given.
        **kwargs: arguments of :class:`FasterRCNN`.

    Raises:
        InvalidArgument: as in :class:`FasterRCNN`, or both ``num_keypoints`` and ``keypoint_predictor`` are given.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        min_size: int | Sequence[int] | None = None,
        *args: Any,
        keypoint_roi_pool: nn.Module | None = None,
        keypoint_head: nn.Module | None = None,
        keypoint_predictor: nn.Module | None = None,
        num_keypoints: int | None = None,
        **kwargs: Any,
    ) -> None:
        if keypoint_predictor is not None and num_keypoints is not None:
            raise InvalidArgument(
                f"num_keypoints is {num_keypoints} and keypoint_predictor given; expected one of them."
            )
        keypoints = len(KEYPOINT_NAMES) if num_keypoints is None else check_count("num_keypoints", num_keypoints, 1)
        # Created before the other parts, in the published model's order of random numbers.
        channels: Any = getattr(backbone, "out_channels", None)
        keypoint_head = keypoint_head or KeypointRCNNHeads(channels, (512,) * 8)
        keypoint_predictor = keypoint_predictor or KeypointRCNNPredictor(512, keypoints)
        super().__init__(backbone, num_classes, MIN_SIZES if min_size is None else min_size, *args, **kwargs)
        heads = self.roi_heads
        heads.keypoint_roi_pool = keypoint_roi_pool or MultiScaleRoIAlign(LEVELS, output_size=14, sampling_ratio=2)
        heads.keypoint_head, heads.keypoint_predictor = keypoint_head, keypoint_predictor

    def forward(self, images: Any, targets: Any = None, return_losses: bool = False) -> Any:
        if torch.onnx.is_in_onnx_export():
            raise InvalidArgument(
                "torch.onnx.export cannot write the peaks of heat maps, whose sizes depend on values: use "
                "zoo.export(model, path, image_size=…), or zoo export on the command line."
            )
        return super().forward(images, targets, return_losses)

    def target_checks(self) -> dict[str, Any]:
        return {"masks": False, "num_keypoints": getattr(self.roi_heads.keypoint_predictor, "out_channels", None)}


HEAD = {"roi_heads.box_predictor": "num_classes", "roi_heads.keypoint_predictor": "num_keypoints"}


@once_meant(pretrained={"legacy": KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY})
@zoo.builder(
    KeypointRCNN_ResNet50_FPN_Weights,
    head=HEAD,
    stem="backbone.body.conv1",
    convert=present_keys(FPN_AND_RPN),
    legacy="COCO_V1",
)
@on_backbone(frozen_norm_resnet50, num_classes=2)
def keypointrcnn_resnet50_fpn(
    resnet: ResNet, num_classes: int, num_keypoints: int | None = None, **kwargs: Any
) -> KeypointRCNN:
    """Keypoint R-CNN on a ResNet-50 with a feature pyramid, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn_resnet50_fpn`, the further ones of
    :class:`KeypointRCNN`, and:

    Args:
        num_classes: number of classes, including background; 2 by default, persons.
        num_keypoints: number of keypoints per object; 17 by default, COCO's. With weights and another number, the
            keypoint predictor is initialised and the rest is loaded from the file.
    """
    return KeypointRCNN(resnet_fpn(resnet), num_classes, num_keypoints=num_keypoints, **kwargs)


@zoo.builder(head=HEAD)
@on_backbone(last_stages(len(LEVELS)))
def keypointrcnn(body: Backbone, num_classes: int = 2, num_keypoints: int | None = None, **kwargs: Any) -> KeypointRCNN:
    """Keypoint R-CNN on any model with stages, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn`, and the further ones of
    :class:`KeypointRCNN`.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    backbone, parts = fpn_of(body)
    return KeypointRCNN(backbone, num_classes, num_keypoints=num_keypoints, **{**parts, **kwargs})
