"""DeepLabV3: parallel convolutions with several dilations use context of several sizes at each position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import WeightsLike
from zoo.errors import InvalidArgument
from zoo.nn import Conv2dNormActivation, check_count
from zoo_classification.mobilenet_v3 import LARGE, told_of
from zoo_classification.resnet import ResNet, resnet50, resnet101
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_classification.weights.resnet import ResNet50_Weights, ResNet101_Weights
from zoo_segmentation.base import NUM_CLASSES, SegmentationModel, named_backbone
from zoo_segmentation.fcn import AUX, DILATED, HEAD, FCNHead, aux_of, dilated_resnet
from zoo_segmentation.lraspp import dilated_mobilenet
from zoo_segmentation.weights.deeplabv3 import (
    DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights,
    DeepLabV3_ResNet101_Weights,
)

RATES = (12, 24, 36)


class ASPPConv(Conv2dNormActivation):
    """A dilated 3×3 convolution: [N, in_channels, h, w] → [N, out_channels, h, w]."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int) -> None:
        super().__init__(in_channels, out_channels, 3, dilation=dilation)


class ASPPPooling(nn.Sequential):
    """The mean over all positions, after a 1×1 convolution, at every position."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *Conv2dNormActivation(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return mean.expand(-1, -1, x.shape[-2], x.shape[-1])


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: [N, in_channels, h, w] → [N, out_channels, h, w].

    A 1×1 convolution, a 3×3 convolution per dilation and the mean over all positions, in parallel, then combined.
    """

    def __init__(self, in_channels: int, atrous_rates: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        rates = [check_count("atrous_rates", rate, 1) for rate in atrous_rates]
        self.convs = nn.ModuleList(
            [
                Conv2dNormActivation(in_channels, out_channels, 1),
                *(ASPPConv(in_channels, out_channels, rate) for rate in rates),
                ASPPPooling(in_channels, out_channels),
            ]
        )
        self.project = nn.Sequential(
            *Conv2dNormActivation(len(self.convs) * out_channels, out_channels, 1), nn.Dropout(0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(torch.cat([conv(x) for conv in self.convs], 1))
        return projected


class DeepLabHead(nn.Sequential):
    """ASPP, a 3×3 convolution, logits: [N, in_channels, h, w] → [N, num_classes, h, w]."""

    def __init__(self, in_channels: int, num_classes: int, atrous_rates: Sequence[int] = RATES) -> None:
        super().__init__(
            ASPP(in_channels, atrous_rates),
            *Conv2dNormActivation(256, 256, 3),
            nn.Conv2d(256, check_count("num_classes", num_classes, 1), 1),
        )


class DeepLabV3(SegmentationModel):
    """DeepLabV3; the arguments are those of :class:`zoo_segmentation.base.SegmentationModel`."""


def _on_resnet(resnet: ResNet, num_classes: int | None, aux_loss: bool | None) -> DeepLabV3:
    num_classes = NUM_CLASSES if num_classes is None else num_classes
    aux_classifier = FCNHead(1024, num_classes) if aux_loss else None
    return DeepLabV3(dilated_resnet(resnet, bool(aux_loss)), DeepLabHead(2048, num_classes), aux_classifier)


@zoo.builder(DeepLabV3_ResNet50_Weights, head=HEAD, stem="backbone.conv1", ignore=AUX, told_by_file=aux_of)
def deeplabv3_resnet50(
    *,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ResNet50_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLabV3 on a ResNet-50 of stride 8, from `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_.

    Args:
        num_classes: number of classes, including background; 21 by default.
        aux_loss: whether to add a second classifier, on the second-to-last stage; by default only with weights.
        weights_backbone: weights of ResNet-50; loaded if the complete model has no weights.
        **kwargs: further arguments of ResNet-50, such as ``in_channels``.
    """
    options = {"replace_stride_with_dilation": DILATED, **kwargs}
    return _on_resnet(resnet50(weights=weights_backbone, **options), num_classes, aux_loss)


@zoo.builder(DeepLabV3_ResNet101_Weights, head=HEAD, stem="backbone.conv1", ignore=AUX, told_by_file=aux_of)
def deeplabv3_resnet101(
    *,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ResNet101_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLabV3 on a ResNet-101 of stride 8, from `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_; the arguments are those of :func:`deeplabv3_resnet50`."""
    options = {"replace_stride_with_dilation": DILATED, **kwargs}
    return _on_resnet(resnet101(weights=weights_backbone, **options), num_classes, aux_loss)


@zoo.builder(
    DeepLabV3_MobileNet_V3_Large_Weights,
    head=HEAD,
    stem="backbone.0.0",
    ignore=AUX,
    told_by_file=lambda state: {**told_of(LARGE, "backbone")(state), **aux_of(state)},
)
def deeplabv3_mobilenet_v3_large(
    *,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLabV3 on a MobileNetV3-Large of stride 16, from `Rethinking Atrous Convolution for Semantic Image
    Segmentation <https://arxiv.org/abs/1706.05587>`_.

    Args:
        num_classes: number of classes, including background; 21 by default.
        aux_loss: whether to add a second classifier, at stride 8; by default only with weights.
        weights_backbone: weights of MobileNetV3-Large; loaded if the complete model has no weights.
        **kwargs: further arguments of MobileNetV3-Large, such as ``in_channels`` and ``width_mult``.
    """
    num_classes = NUM_CLASSES if num_classes is None else num_classes
    outputs = {"out": 16, **({"aux": 4} if aux_loss else {})}
    trunk, (high, *low) = dilated_mobilenet(outputs, weights_backbone, kwargs)
    aux_classifier = FCNHead(low[0], num_classes) if aux_loss else None
    return DeepLabV3(trunk, DeepLabHead(high, num_classes), aux_classifier)


@zoo.builder(head=HEAD, ignore=AUX, told_by_file=aux_of)
def deeplabv3(
    *,
    backbone: str | nn.Module = "resnet50",
    num_classes: int = NUM_CLASSES,
    aux_loss: bool = False,
    weights_backbone: WeightsLike = None,
    frozen_norm: bool = False,
    atrous_rates: Sequence[int] | None = None,
    **kwargs: Any,
) -> DeepLabV3:
    """DeepLabV3 on any model with stages, from `Rethinking Atrous Convolution for Semantic Image Segmentation
    <https://arxiv.org/abs/1706.05587>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its layers after the last stage
            are frozen.
        num_classes: number of classes, including background.
        aux_loss: whether to add a second classifier, on the second-to-last stage.
        weights_backbone: weights, in any form that the backbone's builder accepts.
        atrous_rates: dilations of the pyramid, in feature cells; by default 12, 24 and 36 at stride 8, scaled to the
            same number of pixels at other strides.
        frozen_norm: freeze the statistics and scale of the backbone's batch norm.
        **kwargs: further arguments of the backbone's builder.

    Raises:
        InvalidArgument: the backbone has no stages, or too few, or a rate is below 1.
    """
    body = named_backbone(backbone, weights_backbone, kwargs, aux=aux_loss, frozen_norm=frozen_norm)
    if atrous_rates is None:
        atrous_rates = [max(1, round(rate * 8 / body.strides[-1])) for rate in RATES]
    elif not atrous_rates:
        raise InvalidArgument("atrous_rates is empty; expected at least one dilation.")
    aux_classifier = FCNHead(body.out_channels[0], num_classes) if aux_loss else None
    return DeepLabV3(body, DeepLabHead(body.out_channels[-1], num_classes, atrous_rates), aux_classifier)
