"""Mask R-CNN: Faster R-CNN, and the mask of the object in every box."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

import zoo
from zoo.errors import InvalidArgument
from zoo.features import Backbone
from zoo.nn import Conv2dNormActivation
from zoo.ops import MultiScaleRoIAlign
from zoo_classification.resnet import ResNet
from zoo_detection.backbones import (
    OUT_CHANNELS,
    RESNET50_V1,
    frozen_norm_resnet50,
    last_stages,
    on_backbone,
    once_meant,
    plain_norm_resnet50,
    resnet_fpn,
)
from zoo_detection.checkpoints import FPN_AND_RPN, MASK_HEAD, present_keys
from zoo_detection.detector import Detections
from zoo_detection.faster_rcnn import LEVELS, FasterRCNN, draw_relu, fpn_of, heads_v2
from zoo_detection.transform import Size
from zoo_detection.weights.mask_rcnn import MaskRCNN_ResNet50_FPN_V2_Weights, MaskRCNN_ResNet50_FPN_Weights

MASK_FORMATS = ("full", "roi")


class MaskRCNNHeads(nn.Sequential):
    """3×3 convolutions with ReLU: regions [R, in_channels, h, w] → [R, the last of ``layers``, h, w]."""

    def __init__(
        self,
        in_channels: int,
        layers: Sequence[int],
        dilation: int,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        blocks = []
        for out_channels in layers:
            blocks.append(Conv2dNormActivation(in_channels, out_channels, dilation=dilation, norm_layer=norm_layer))
            in_channels = out_channels
        super().__init__(*blocks)
        draw_relu(self)


class MaskRCNNPredictor(nn.Sequential):
    """Regions [R, in_channels, h, w] → logits of a mask for every class, [R, num_classes, 2 * h, 2 * w]."""

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int) -> None:
        layers: list[tuple[str, nn.Module]] = [
            ("conv5_mask", nn.ConvTranspose2d(in_channels, dim_reduced, 2, stride=2)),
            ("relu", nn.ReLU(inplace=True)),
            ("mask_fcn_logits", nn.Conv2d(dim_reduced, num_classes, 1)),
        ]
        super().__init__(OrderedDict(layers))
        for name, parameter in self.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, mode="fan_out", nonlinearity="relu")


class MaskRCNN(FasterRCNN):
    """Mask R-CNN, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_.

    In addition to the outputs of :class:`FasterRCNN`, detections have ``masks``: probabilities [D, 1, H, W] in the size
    of the image. Targets need ``masks``, [N, H, W] of zeros and ones, and there is a ``loss_mask``.

    Args:
        mask_roi_pool, mask_head, mask_predictor: parts for masks; see :class:`zoo_detection.RoIHeads`.
        mask_format: ``"full"``, or ``"roi"`` for the predicted masks of the boxes, [D, 1, 28, 28], which need little
            memory; :func:`zoo_detection.paste_masks` converts them to full masks.
        **kwargs: arguments of :class:`FasterRCNN`.

    Raises:
        InvalidArgument: as in :class:`FasterRCNN`, or ``mask_format`` is unknown.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int | None = None,
        *args: Any,
        mask_roi_pool: nn.Module | None = None,
        mask_head: nn.Module | None = None,
        mask_predictor: nn.Module | None = None,
        mask_format: str = "full",
        **kwargs: Any,
    ) -> None:
        if mask_format not in MASK_FORMATS:
            raise InvalidArgument(f"mask_format is {mask_format!r}; expected one of {', '.join(MASK_FORMATS)}.")
        if mask_predictor is None and num_classes is None:
            raise InvalidArgument("num_classes is None; expected a number, or a box_predictor and a mask_predictor.")
        # Created before the other parts, in the published models' order of random numbers.
        channels: Any = getattr(backbone, "out_channels", None)
        mask_head = mask_head or MaskRCNNHeads(channels, (256,) * 4, dilation=1)
        mask_predictor = mask_predictor or MaskRCNNPredictor(256, 256, num_classes)  # type: ignore[arg-type]
        super().__init__(backbone, num_classes, *args, **kwargs)
        self.mask_format = mask_format
        heads = self.roi_heads
        heads.mask_roi_pool = mask_roi_pool or MultiScaleRoIAlign(LEVELS, output_size=14, sampling_ratio=2)
        heads.mask_head, heads.mask_predictor = mask_head, mask_predictor

    def target_checks(self) -> dict[str, Any]:
        return {"masks": True}

    def finish(
        self, detections: list[Detections], image_sizes: Sequence[Size], original_sizes: Sequence[Size]
    ) -> list[Detections]:
        paste = self.mask_format == "full"
        finished: list[Detections] = self.transform.postprocess(  # type: ignore[operator]
            detections, image_sizes, original_sizes, paste=paste
        )
        return finished


CONVERT = present_keys(FPN_AND_RPN, MASK_HEAD)
HEAD = ("roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits")


@zoo.builder(MaskRCNN_ResNet50_FPN_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(frozen_norm_resnet50)
def maskrcnn_resnet50_fpn(resnet: ResNet, num_classes: int, **kwargs: Any) -> MaskRCNN:
    """Mask R-CNN on a ResNet-50 with a feature pyramid, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn_resnet50_fpn`, and the further ones of
    :class:`MaskRCNN`.
    """
    return MaskRCNN(resnet_fpn(resnet), num_classes, **kwargs)


@once_meant(pretrained_backbone=RESNET50_V1)
@zoo.builder(MaskRCNN_ResNet50_FPN_V2_Weights, head=HEAD, stem="backbone.body.conv1", convert=CONVERT)
@on_backbone(plain_norm_resnet50)
def maskrcnn_resnet50_fpn_v2(resnet: ResNet, num_classes: int, **kwargs: Any) -> MaskRCNN:
    """Mask R-CNN with convolutions and batch norm in its heads, after `Benchmarking Detection Transfer Learning with
    Vision Transformers <https://arxiv.org/abs/2111.11429>`_.

    The arguments are those of :func:`maskrcnn_resnet50_fpn`; the batch norm is never frozen.
    """
    backbone, parts = resnet_fpn(resnet, norm_layer=nn.BatchNorm2d), heads_v2()
    parts["mask_head"] = MaskRCNNHeads(OUT_CHANNELS, (256,) * 4, dilation=1, norm_layer=nn.BatchNorm2d)
    return MaskRCNN(backbone, num_classes, **{**parts, **kwargs})


@zoo.builder(head=HEAD)
@on_backbone(last_stages(len(LEVELS)))
def maskrcnn(body: Backbone, num_classes: int = 91, **kwargs: Any) -> MaskRCNN:
    """Mask R-CNN on any model with stages, from `Mask R-CNN <https://arxiv.org/abs/1703.06870>`_.

    The arguments are those of :func:`zoo_detection.faster_rcnn.fasterrcnn`, and the further ones of :class:`MaskRCNN`.

    Raises:
        InvalidArgument: the backbone has no stages.
    """
    backbone, parts = fpn_of(body)
    return MaskRCNN(backbone, num_classes, **{**parts, **kwargs})
