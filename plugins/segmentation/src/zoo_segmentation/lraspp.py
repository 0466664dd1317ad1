"""LR-ASPP: coarse features, weighted by global context, are combined with finer ones for detail."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import zoo
from zoo.contract import WeightsLike
from zoo.features import IntermediateLayers
from zoo.nn import Conv2dNormActivation, check_count
from zoo_classification.mobilenet_v3 import LARGE, mobilenet_v3_large, told_of
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_segmentation.base import NUM_CLASSES, SegmentationModel, enlarge, named_backbone
from zoo_segmentation.weights.lraspp import LRASPP_MobileNet_V3_Large_Weights

HEAD = ("classifier.low_classifier", "classifier.high_classifier")


class LRASPPHead(nn.Module):
    """Lite reduced atrous spatial pyramid pooling.

    ``{"low": [N, low_channels, h, w], "high": [N, high_channels, h', w']}`` → logits [N, num_classes, h, w].
    """

    def __init__(self, low_channels: int, high_channels: int, num_classes: int, inter_channels: int) -> None:
        super().__init__()
        check_count("num_classes", num_classes, 1)
        self.cbr = nn.Sequential(*Conv2dNormActivation(high_channels, inter_channels, 1))
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(high_channels, inter_channels, 1, bias=False), nn.Sigmoid()
        )
        self.low_classifier = nn.Conv2d(low_channels, num_classes, 1)
        self.high_classifier = nn.Conv2d(inter_channels, num_classes, 1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        low, high = features["low"], features["high"]
        weighted = enlarge(self.cbr(high) * self.scale(high), low.shape[-2:])
        logits: Tensor = self.low_classifier(low) + self.high_classifier(weighted)
        return logits


class LRASPP(SegmentationModel):
    """Images [N, C, H, W] → ``{"out": [N, num_classes, H, W]}``.

    Args:
        backbone: images → ``{"low": …, "high": …}``, features of two resolutions.
        low_channels: number of channels of the finer features.
        high_channels: number of channels of the coarser features.
        num_classes: number of classes, including background.
        inter_channels: width of the head.
    """

    def __init__(
        self, backbone: nn.Module, low_channels: int, high_channels: int, num_classes: int, inter_channels: int = 128
    ) -> None:
        super().__init__(backbone, LRASPPHead(low_channels, high_channels, num_classes, inter_channels))

    def heads(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"out": self.classifier(features)}


def dilated_mobilenet(
    outputs: dict[str, int], weights: WeightsLike, options: dict[str, Any]
) -> tuple[IntermediateLayers, list[int]]:
    """A MobileNetV3-Large of stride 16 that returns the outputs of some of its blocks, and their channels.

    Block 4 is the first of stride 8, block 16 the last.
    """
    mobilenet = mobilenet_v3_large(weights=weights, **{"dilated": True, **options})
    blocks: Any = mobilenet.features
    trunk = IntermediateLayers(blocks, {str(i): name for name, i in outputs.items()})
    return trunk, [blocks[i].out_channels for i in outputs.values()]


@zoo.builder(LRASPP_MobileNet_V3_Large_Weights, head=HEAD, stem="backbone.0.0", told_by_file=told_of(LARGE, "backbone"))
def lraspp_mobilenet_v3_large(
    *,
    num_classes: int | None = None,
    weights_backbone: WeightsLike = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> LRASPP:
    """LR-ASPP on a MobileNetV3-Large of stride 16, from `Searching for MobileNetV3
    <https://arxiv.org/abs/1905.02244>`_.

    Args:
        num_classes: number of classes, including background; 21 by default.
        weights_backbone: weights of MobileNetV3-Large; loaded if the complete model has no weights.
        **kwargs: further arguments of MobileNetV3-Large, such as ``in_channels`` and ``width_mult``.
    """
    trunk, (low, high) = dilated_mobilenet({"low": 4, "high": 16}, weights_backbone, kwargs)
    return LRASPP(trunk, low, high, NUM_CLASSES if num_classes is None else num_classes)


@zoo.builder(head=HEAD)
def lraspp(
    *,
    backbone: str | nn.Module = "mobilenet_v3_large",
    num_classes: int = NUM_CLASSES,
    weights_backbone: WeightsLike = None,
    frozen_norm: bool = False,
    inter_channels: int = 128,
    **kwargs: Any,
) -> LRASPP:
    """LR-ASPP on any model with stages, from `Searching for MobileNetV3 <https://arxiv.org/abs/1905.02244>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its layers after the last stage
            are frozen. Its last stage of stride 8 or finer gives the low features.
        num_classes: number of classes, including background.
        weights_backbone: weights, in any form that the backbone's builder accepts.
        inter_channels: width of the head.
        frozen_norm: freeze the statistics and scale of the backbone's batch norm.
        **kwargs: further arguments of the backbone's builder.

    Raises:
        InvalidArgument: the backbone has no stages, or only one.
    """
    body = named_backbone(backbone, weights_backbone, kwargs, low=8, frozen_norm=frozen_norm)
    low, high = body.out_channels
    return LRASPP(body, low, high, num_classes, check_count("inter_channels", inter_channels, 1))
