"""FCN: a classification network with dense features, and a small head that classifies every position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

import zoo
from zoo.contract import WeightsLike
from zoo.features import IntermediateLayers
from zoo.nn import Conv2dNormActivation, check_count
from zoo_classification.resnet import ResNet, resnet50, resnet101
from zoo_classification.weights.resnet import ResNet50_Weights, ResNet101_Weights
from zoo_segmentation.base import NUM_CLASSES, SegmentationModel, named_backbone
from zoo_segmentation.weights.fcn import FCN_ResNet50_Weights, FCN_ResNet101_Weights

# The layers that depend on the number of classes, and the keys that a file may have in addition to the model's.
HEAD = ("classifier.4", "aux_classifier.4")
AUX = ("aux_classifier.",)


class FCNHead(nn.Sequential):
    """3×3 convolution to a quarter of the channels, then logits: [N, in_channels, h, w] → [N, channels, h, w]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        hidden = in_channels // 4
        super().__init__(
            *Conv2dNormActivation(in_channels, hidden, 3),
            nn.Dropout(0.1),
            nn.Conv2d(hidden, check_count("num_classes", channels, 1), 1),
        )


class FCN(SegmentationModel):
    """Fully convolutional network; the arguments are those of :class:`zoo_segmentation.base.SegmentationModel`."""


def aux_of(state: Mapping[str, Any]) -> dict[str, bool]:
    """Whether the model in a file has a second classifier."""
    return {"aux_loss": any(key.startswith(AUX) for key in state)}


def dilated_resnet(resnet: ResNet, aux: bool) -> IntermediateLayers:
    """The last stage of a ResNet as ``out``; with ``aux``, the one before as ``aux``."""
    return IntermediateLayers(resnet, {"layer4": "out", **({"layer3": "aux"} if aux else {})})


# Stride 8 instead of 32: the last two stages dilate instead of halving the resolution.
DILATED = (False, True, True)


def _fcn(resnet: ResNet, num_classes: int | None, aux_loss: bool | None) -> FCN:
    num_classes = NUM_CLASSES if num_classes is None else num_classes
    aux_classifier = FCNHead(1024, num_classes) if aux_loss else None
    return FCN(dilated_resnet(resnet, bool(aux_loss)), FCNHead(2048, num_classes), aux_classifier)


@zoo.builder(FCN_ResNet50_Weights, head=HEAD, stem="backbone.conv1", ignore=AUX, told_by_file=aux_of)
def fcn_resnet50(
    *,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ResNet50_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> FCN:
    """FCN on a ResNet-50 of stride 8, from `Fully Convolutional Networks for Semantic Segmentation
    <https://arxiv.org/abs/1411.4038>`_.

    Args:
        num_classes: number of classes, including background; 21 by default.
        aux_loss: whether to add a second classifier, on the second-to-last stage; by default only with weights.
        weights_backbone: weights of ResNet-50; loaded if the complete model has no weights.
        **kwargs: further arguments of ResNet-50, such as ``in_channels``.
    """
    options = {"replace_stride_with_dilation": DILATED, **kwargs}
    return _fcn(resnet50(weights=weights_backbone, **options), num_classes, aux_loss)


@zoo.builder(FCN_ResNet101_Weights, head=HEAD, stem="backbone.conv1", ignore=AUX, told_by_file=aux_of)
def fcn_resnet101(
    *,
    num_classes: int | None = None,
    aux_loss: bool | None = None,
    weights_backbone: WeightsLike = ResNet101_Weights.IMAGENET1K_V1,
    **kwargs: Any,
) -> FCN:
    """FCN on a ResNet-101 of stride 8, from `Fully Convolutional Networks for Semantic Segmentation
    <https://arxiv.org/abs/1411.4038>`_; the arguments are those of :func:`fcn_resnet50`."""
    options = {"replace_stride_with_dilation": DILATED, **kwargs}
    return _fcn(resnet101(weights=weights_backbone, **options), num_classes, aux_loss)


@zoo.builder(head=HEAD, ignore=AUX, told_by_file=aux_of)
def fcn(
    *,
    backbone: str | nn.Module = "resnet50",
    num_classes: int = NUM_CLASSES,
    aux_loss: bool = False,
    weights_backbone: WeightsLike = None,
    frozen_norm: bool = False,
    **kwargs: Any,
) -> FCN:
    """FCN on any model with stages, from `Fully Convolutional Networks for Semantic Segmentation
    <https://arxiv.org/abs/1411.4038>`_.

    Args:
        backbone: name of a registered model, or a model that declares ``feature_info``; its layers after the last stage
            are frozen.
        num_classes: number of classes, including background.
        aux_loss: whether to add a second classifier, on the second-to-last stage.
        weights_backbone: weights, in any form that the backbone's builder accepts.
        frozen_norm: freeze the statistics and scale of the backbone's batch norm.
        **kwargs: further arguments of the backbone's builder.

    Raises:
        InvalidArgument: the backbone has no stages, or too few.
    """
    body = named_backbone(backbone, weights_backbone, kwargs, aux=aux_loss, frozen_norm=frozen_norm)
    aux_classifier = FCNHead(body.out_channels[0], num_classes) if aux_loss else None
    return FCN(body, FCNHead(body.out_channels[-1], num_classes), aux_classifier)
