"""SSDlite: SSD on a MobileNetV3, with depthwise convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

import zoo
from zoo.contract import WeightsLike
from zoo.loading import is_filled_from_outside
from zoo.nn import Conv2dNormActivation, check_count
from zoo_classification.mobilenet_v3 import LARGE, MobileNetV3, mobilenet_v3_large, told_of as told_by
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_detection.anchors import DefaultBoxGenerator
from zoo_detection.backbones import freeze_mobilenet, mobilenet_stages, on_backbone, trainable_layers
from zoo_detection.dense import ScoringHead
from zoo_detection.detector import draw_convolutions
from zoo_detection.ssd import SSD, SSDScoringHead
from zoo_detection.weights.ssdlite import SSDLite320_MobileNet_V3_Large_Weights

Norm = Callable[..., nn.Module]


draw_normal = partial(draw_convolutions, partial(nn.init.normal_, std=0.03))


def prediction_block(in_channels: int, out_channels: int, norm_layer: Norm) -> nn.Sequential:
    """3×3 depthwise, then 1×1."""
    depthwise = Conv2dNormActivation(
        in_channels, in_channels, 3, groups=in_channels, norm_layer=norm_layer, activation_layer=nn.ReLU6
    )
    return nn.Sequential(depthwise, nn.Conv2d(in_channels, out_channels, 1))


def extra_block(in_channels: int, out_channels: int, norm_layer: Norm) -> nn.Sequential:
    """Half the resolution: 1×1 to half the channels, 3×3 depthwise, 1×1."""
    hidden = out_channels // 2
    conv = partial(Conv2dNormActivation, norm_layer=norm_layer, activation_layer=nn.ReLU6)
    return nn.Sequential(
        conv(in_channels, hidden, 1), conv(hidden, hidden, 3, stride=2, groups=hidden), conv(hidden, out_channels, 1)
    )


class SSDLiteScoringHead(SSDScoringHead):
    """Maps → [N, A, num_columns] of the default boxes of all maps."""

    def __init__(
        self, in_channels: Sequence[int], num_anchors: Sequence[int], num_columns: int, norm_layer: Norm
    ) -> None:
        modules = nn.ModuleList(
            prediction_block(channels, anchors * num_columns, norm_layer)
            for channels, anchors in zip(in_channels, num_anchors, strict=True)
        )
        draw_normal(modules)
        super().__init__(modules, num_columns)


class SSDLiteClassificationHead(SSDLiteScoringHead):
    """Maps → logits [N, A, num_classes] of the default boxes of all maps."""

    def __init__(
        self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int, norm_layer: Norm
    ) -> None:
        super().__init__(in_channels, num_anchors, num_classes, norm_layer)


class SSDLiteRegressionHead(SSDLiteScoringHead):
    """Maps → box codes [N, A, 4] of the default boxes of all maps."""

    def __init__(self, in_channels: Sequence[int], num_anchors: Sequence[int], norm_layer: Norm) -> None:
        super().__init__(in_channels, num_anchors, 4, norm_layer)


class SSDLiteHead(ScoringHead):
    """Maps → ``cls_logits`` [N, A, num_classes] and ``bbox_regression`` [N, A, 4], of the default boxes of all maps.

    Args:
        in_channels: number of channels of each map.
        num_anchors: number of default boxes per cell of each map.
    """

    def __init__(
        self, in_channels: Sequence[int], num_anchors: Sequence[int], num_classes: int, norm_layer: Norm
    ) -> None:
        super().__init__()
        self.classification_head = SSDLiteClassificationHead(in_channels, num_anchors, num_classes, norm_layer)
        self.regression_head = SSDLiteRegressionHead(in_channels, num_anchors, norm_layer)


class SSDLiteFeatureExtractorMobileNet(nn.Module):
    """MobileNetV3 and four blocks on top: images → six maps, of strides 16 to 512.

    The first map is inside the first block of stride 32, after its expansion.

    Args:
        backbone: the ``features`` of the MobileNetV3.
        c4_pos: index of that block.
        norm_layer: norm of the blocks on top.
        width_mult: multiplier of their channels, which are at least ``min_depth``.
    """

    def __init__(
        self, backbone: nn.Module, c4_pos: int, norm_layer: Norm, width_mult: float = 1.0, min_depth: int = 16
    ) -> None:
        super().__init__()
        layers: Any = backbone
        block = layers[c4_pos].block
        self.features = nn.Sequential(
            nn.Sequential(*layers[:c4_pos], block[0]), nn.Sequential(block[1:], *layers[c4_pos + 1 :])
        )
        widths = [layers[-1].out_channels, *(max(min_depth, int(n * width_mult)) for n in (512, 256, 256, 128))]
        self.extra = nn.ModuleList(extra_block(before, after, norm_layer) for before, after in pairwise(widths))
        draw_normal(self.extra)
        self.out_channels = [block[0].out_channels, *widths]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x, found = images, {}
        for i, block in enumerate([*self.features, *self.extra]):
            x = found[str(i)] = block(x)
        return found


RATIOS = [2, 3]  # aspect ratios of the default boxes, in addition to the squares


def _as_mobilenet(state: Mapping[str, Any]) -> dict[str, Any]:
    """The MobileNet of the extractor under its own names: block 13 is split in two there."""
    first, second = "backbone.features.0.", "backbone.features.1."
    found = {f"features.{key.removeprefix(first)}": value for key, value in state.items() if key.startswith(first)}
    found["features.13.block.0.0.weight"] = state.get(f"{first}13.0.weight")
    return found | {f"features.{13 + i}.block.0.0.weight": state.get(f"{second}{i}.block.0.0.weight") for i in (1, 2)}


def told_of(state: dict[str, Any]) -> dict[str, Any]:
    """The builder arguments that a file's tensors imply: whether the MobileNet has a reduced tail, its width, and, if a
    cell has other than six default boxes, the corresponding aspect ratios from 2 and 3."""
    told: dict[str, Any] = {"reduced_tail": False, **told_by(LARGE)(_as_mobilenet(state))}
    boxes = [len(state.get(f"head.regression_head.module_list.{i}.1.weight", ())) // 4 for i in range(6)]
    if set(boxes) != {6} and set(boxes) <= {2, 4, 6}:
        told["aspect_ratios"] = [RATIOS[: n // 2 - 1] for n in boxes]
    return told


def mobilenet_on(mobilenet: MobileNetV3, trainable_layers: int, norm_layer: Norm) -> SSDLiteFeatureExtractorMobileNet:
    """The last ``trainable_layers`` of the six stages are trained."""
    layers: Any = mobilenet.features
    stages = mobilenet_stages(mobilenet)
    freeze_mobilenet(layers, stages, trainable_layers)
    return SSDLiteFeatureExtractorMobileNet(layers, stages[-2], norm_layer)


def mobilenet_extractor(
    weights_backbone: WeightsLike = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    trainable_backbone_layers: int | None = None,
    norm_layer: Norm | None = None,
    reduced_tail: bool | None = None,
    width_mult: float = 1.0,
) -> tuple[SSDLiteFeatureExtractorMobileNet, Norm]:
    """The backbone of the published model, and the norm of its head."""
    norm_layer = norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
    reduced_tail = weights_backbone is None if reduced_tail is None else reduced_tail
    mobilenet = mobilenet_v3_large(
        weights=weights_backbone, norm_layer=norm_layer, reduced_tail=reduced_tail, width_mult=width_mult
    )
    if weights_backbone is None:
        draw_normal(mobilenet)
    trained = weights_backbone is not None or is_filled_from_outside()
    trainable = trainable_layers(trainable_backbone_layers, trained, 6, 6)
    return mobilenet_on(mobilenet, trainable, norm_layer), norm_layer


@zoo.builder(
    SSDLite320_MobileNet_V3_Large_Weights,
    head=tuple(f"head.classification_head.module_list.{i}.1" for i in range(6)),
    stem="backbone.features.0.0.0",
    told_by_file=told_of,
)
@on_backbone(mobilenet_extractor)
def ssdlite320_mobilenet_v3_large(
    backbone_and_norm: tuple[SSDLiteFeatureExtractorMobileNet, Norm],
    num_classes: int,
    *,
    size: int = 320,
    scales: Sequence[float] | None = None,
    aspect_ratios: Sequence[Sequence[int]] | None = None,
    **kwargs: Any,
) -> SSD:
    """SSDlite for images of 320×320 on a MobileNetV3-Large, from `MobileNetV2: Inverted Residuals and Linear
    Bottlenecks <https://arxiv.org/abs/1801.04381>`_ and `Searching for MobileNetV3
    <https://arxiv.org/abs/1905.02244>`_.

    Args:
        num_classes: number of classes, including background; 91 by default, COCO's.
        weights_backbone: weights of MobileNetV3; loaded if the complete model has no weights.
        trainable_backbone_layers: number of trained stages of the MobileNet, 0 to 6, counted from the last; by default
            all.
        norm_layer: creates a norm for a number of channels; by default batch norm with the paper's eps and momentum.
        reduced_tail: the MobileNet's last stage has half the channels, as in the published model. By default true,
            unless ``weights_backbone`` is given, whose weights have the full tail; with weights, as in their file.
        width_mult: multiplier of the MobileNet's numbers of channels.
        size: width and height in pixels that all images are resized to.
        scales: seven scales of the default boxes, as for :class:`zoo_detection.anchors.DefaultBoxGenerator`; by
            default from 0.2 to 0.95 of the image.
        aspect_ratios: aspect ratios of the default boxes of each of the six maps, in addition to the squares; by
            default 2 and 3, with weights those that the file has boxes for.
        **kwargs: further arguments of :class:`zoo_detection.SSD`.
    """
    check_count("size", size, 1)
    backbone, norm_layer = backbone_and_norm
    ratios = [RATIOS] * 6 if aspect_ratios is None else aspect_ratios
    anchors = DefaultBoxGenerator(ratios, min_ratio=0.2, max_ratio=0.95, scales=scales)
    defaults = {
        "score_thresh": 0.001,
        "nms_thresh": 0.55,
        "detections_per_img": 300,
        "topk_candidates": 300,
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
        "head": SSDLiteHead(backbone.out_channels, anchors.num_anchors_per_location(), num_classes, norm_layer),
    }
    return SSD(backbone, anchors, (size, size), num_classes, **{**defaults, **kwargs})
