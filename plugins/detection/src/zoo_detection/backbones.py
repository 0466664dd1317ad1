"""Backbones: a classification model up to its last feature maps, and a feature pyramid on top."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import WeightsEnum, WeightsLike
from zoo.errors import InvalidArgument, WeightsWarning
from zoo.features import Backbone, IntermediateLayers
from zoo.loading import is_filled_from_outside
from zoo.nn import ExtraFPNBlock, FeaturePyramidNetwork, FrozenBatchNorm2d, LastLevelMaxPool, LastLevelP6P7, check_count
from zoo_classification.mobilenet_v3 import mobilenet_v3_large
from zoo_classification.resnet import ResNet, resnet50
from zoo_classification.weights.mobilenet_v3 import MobileNet_V3_Large_Weights
from zoo_classification.weights.resnet import ResNet50_Weights

OUT_CHANNELS = 256  # channels of every level of the pyramid
RESNET50_V1 = {True: ResNet50_Weights.IMAGENET1K_V1}  # what pretrained_backbone=True means
COCO_CLASSES = 91  # ids up to 90, and 0

Norm = Callable[[int], nn.Module]
M = TypeVar("M", bound=nn.Module)


class FPNBackbone(nn.Module):
    """Feature maps, and a pyramid on top of them: [N, C, H, W] → name → [N, ``out_channels``, H', W'], finest first.

    Args:
        body: images → name → feature map.
        in_channels_list: number of channels of each of those maps.
        extra_blocks: module that adds levels; by default one level, every other pixel of the coarsest.
        norm_layer: norm in the pyramid; by default none.
    """

    def __init__(
        self,
        body: nn.Module,
        in_channels_list: Sequence[int],
        out_channels: int = OUT_CHANNELS,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels, extra_blocks or LastLevelMaxPool(), norm_layer)
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        levels: dict[str, Tensor] = self.fpn(self.body(images))
        return levels


class BackboneWithFPN(FPNBackbone):
    """:class:`FPNBackbone` on children of a model: ``return_layers`` maps their names to the names of the outputs.

    The other arguments are those of :class:`FPNBackbone`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        return_layers: Mapping[str, str],
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        body = IntermediateLayers(backbone, return_layers)
        super().__init__(body, in_channels_list, out_channels, extra_blocks, norm_layer)


# ── the arguments of builders ────────────────────────────────────────────────────────────────────────────────────────


def on_backbone(
    make: Callable[..., Any], num_classes: int = COCO_CLASSES
) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """Decorator for builders: replaces their first argument, the backbone, by the arguments that create it.

    So the builders' common arguments, their defaults and the meaning of None are defined once. They follow the
    builder's own positional arguments.

    Args:
        make: creates the backbone from those arguments.
        num_classes: value of ``num_classes=None`` for builders that define no default.
    """
    of_backbone = inspect.signature(make).parameters

    def decorate(function: Callable[..., M]) -> Callable[..., M]:
        _, *own = inspect.signature(function).parameters.values()
        published = [p for p in own if p.name == "num_classes" and p.default is p.empty]

        @functools.wraps(function)
        def build(**kwargs: Any) -> M:
            given = {name: kwargs.pop(name) for name in of_backbone if name in kwargs}
            if published and kwargs.get("num_classes") is None:
                kwargs["num_classes"] = num_classes
            return function(make(**given), **kwargs)

        shown = [p.replace(default=None, annotation="int | None") if p in published else p for p in own]
        parameters = sorted([*shown, *of_backbone.values()], key=lambda p: p.kind)
        build.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return build

    return decorate


def frozen_norm_resnet50(
    weights_backbone: WeightsLike = ResNet50_Weights.IMAGENET1K_V1,
    trainable_backbone_layers: int | None = None,
    frozen_norm_eps: float | None = None,
) -> ResNet:
    """The ResNet-50 of each family's first model; its batch norm is frozen if it starts from weights."""
    norm = backbone_norm(weights_backbone, frozen_norm_eps)
    resnet = resnet50(weights=weights_backbone, norm_layer=norm)
    trained = norm is not nn.BatchNorm2d or is_filled_from_outside()
    return freeze_resnet(resnet, trainable_layers(trainable_backbone_layers, trained, 3, 5))


def plain_norm_resnet50(weights_backbone: WeightsLike = None, trainable_backbone_layers: int | None = None) -> ResNet:
    """The ResNet-50 of the V2 models: batch norm is never frozen."""
    resnet = resnet50(weights=weights_backbone)
    trained = weights_backbone is not None or is_filled_from_outside()
    return freeze_resnet(resnet, trainable_layers(trainable_backbone_layers, trained, 3, 5))


def frozen_norm_mobilenet_fpn(
    weights_backbone: WeightsLike = MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    trainable_backbone_layers: int | None = None,
    frozen_norm_eps: float | None = None,
) -> BackboneWithFPN:
    """A MobileNetV3-Large with a pyramid of three levels; its batch norm is frozen if it starts from weights."""
    norm = backbone_norm(weights_backbone, frozen_norm_eps)
    mobilenet = mobilenet_v3_large(weights=weights_backbone, norm_layer=norm)
    trained = norm is not nn.BatchNorm2d or is_filled_from_outside()
    return mobilenet_fpn(mobilenet, trainable_layers(trainable_backbone_layers, trained, 3, 6))


def last_stages(levels: int) -> Callable[..., Backbone]:
    """For :func:`on_backbone`: creates any model with stages, and returns its last ``levels`` stages.

    The layers after the last stage are frozen. Raises InvalidArgument if the model has no stages, or if it is already
    built and arguments for its builder are given.
    """

    def make(
        backbone: str | nn.Module = "resnet50",
        weights_backbone: WeightsLike = None,
        trainable_backbone_layers: int | None = None,
        backbone_config: dict[str, Any] | None = None,
        frozen_norm: bool = False,
    ) -> Backbone:
        config = backbone_config or {}
        if isinstance(backbone, nn.Module) and (config or weights_backbone is not None):
            raise InvalidArgument(
                f"weights_backbone={weights_backbone!r} and {', '.join(config) or 'nothing else'} are arguments of the "
                "backbone's builder, but the backbone is already built. Pass its name, or omit them."
            )
        count = len(zoo.feature_info(backbone, **config))
        return zoo.backbone(
            backbone,
            weights=weights_backbone,
            out_indices=range(max(0, count - levels), count),
            trainable_layers=trainable_backbone_layers,
            frozen_norm=frozen_norm,
            **config,
        ).freeze_rest()

    return make


# ── what is frozen ───────────────────────────────────────────────────────────────────────────────────────────────────


def overwrite_eps(model: nn.Module, eps: float) -> None:
    """Set the eps of every frozen batch norm in ``model``."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps


def backbone_norm(weights_backbone: WeightsLike, frozen_norm_eps: float | None) -> Norm:
    """The published rule: batch norm is frozen if the model or its backbone starts from weights, otherwise it is not.

    Args:
        weights_backbone: weights of the backbone, or None.
        frozen_norm_eps: eps of the frozen batch norm that the complete model's entry requires.
    """
    if weights_backbone is None and frozen_norm_eps is None:
        return nn.BatchNorm2d
    return functools.partial(FrozenBatchNorm2d, eps=1e-5 if frozen_norm_eps is None else frozen_norm_eps)


def trainable_layers(given: int | None, trained: bool, default: int, most: int) -> int:
    """Number of trained stages of a backbone, counted from the last: ``given``, or all if it has no weights."""
    if given is not None and check_count("trainable_backbone_layers", given) > most:
        raise InvalidArgument(f"trainable_backbone_layers is {given}; this backbone has {most} stages.")
    if trained:
        return default if given is None else given
    if given is not None:
        warnings.warn(
            f"trainable_backbone_layers={given} is ignored, and the complete backbone is trained, because it has no "
            "weights. Pass weights or weights_backbone, or omit the argument to silence this.",
            WeightsWarning,
            stacklevel=2,
        )
    return most


def validate_trainable_layers(
    is_trained: bool, trainable_backbone_layers: int | None, max_value: int, default_value: int
) -> int:
    """:func:`trainable_layers`, its arguments in the order of torchvision's function."""
    return trainable_layers(trainable_backbone_layers, is_trained, default_value, max_value)


def once_meant(**meant: Mapping[Any, WeightsEnum]) -> Callable[[Callable[..., M]], Callable[..., M]]:
    """Decorator for builders, above ``zoo.builder``: the meaning of argument values before torchvision 0.13.

    Args:
        **meant: ``pretrained`` or ``pretrained_backbone`` → value → the weights.
    """

    def decorate(build: Callable[..., M]) -> Callable[..., M]:
        @functools.wraps(build)
        def translated(*args: Any, **kwargs: Any) -> M:
            for name, entries in meant.items():
                if kwargs.get(name) in entries:
                    now = name.replace("pretrained", "weights")
                    kwargs[now] = entries[kwargs.pop(name)]
                    warnings.warn(
                        f"{build.__name__}() was called with arguments from before torchvision 0.13; pass "
                        f"{now}={kwargs[now]} instead.",
                        DeprecationWarning,
                        stacklevel=2,
                    )
            return build(*args, **kwargs)

        return translated

    return decorate


def freeze(*modules: nn.Module) -> None:
    for module in modules:
        module.requires_grad_(False)


def freeze_resnet(resnet: ResNet, trainable: int) -> ResNet:
    """Freeze everything before the last ``trainable`` of the five stages."""
    if trainable not in range(6):
        raise InvalidArgument(f"trainable_layers is {trainable!r}; expected 0 to 5.")
    if trainable < 5:
        stages = [resnet.conv1, resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
        freeze(resnet.bn1, *stages[: 5 - trainable])
    return resnet


def freeze_mobilenet(features: nn.Sequential, stages: Sequence[int], trainable: int) -> None:
    """Freeze everything before the last ``trainable`` of the stages that begin at ``stages``."""
    if trainable not in range(len(stages) + 1):
        raise InvalidArgument(f"trainable_layers is {trainable!r}; expected 0 to {len(stages)}.")
    freeze(features[: len(features) if trainable == 0 else stages[-trainable]])


# ── pyramids ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def p6_p7(in_channels: int = OUT_CHANNELS) -> LastLevelP6P7:
    """The two additional levels of the dense detectors' pyramids."""
    return LastLevelP6P7(in_channels, OUT_CHANNELS)


def resnet_fpn(
    resnet: ResNet,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Norm | None = None,
) -> BackboneWithFPN:
    """A feature pyramid on a ResNet; the arguments are those of :func:`resnet_fpn_backbone`, except the norm."""
    returned = sorted(returned_layers or (1, 2, 3, 4))
    if not set(returned) <= {1, 2, 3, 4}:
        raise InvalidArgument(f"returned_layers is {returned_layers!r}; expected some of 1, 2, 3 and 4.")
    channels = {stage.path: stage.channels for stage in resnet.feature_info}
    return BackboneWithFPN(
        resnet,
        {f"layer{k}": str(i) for i, k in enumerate(returned)},
        [channels[f"layer{k}"] for k in returned],
        OUT_CHANNELS,
        extra_blocks,
        norm_layer,
    )


def resnet_extractor(
    backbone: ResNet,
    trainable_layers: int,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Norm | None = None,
) -> BackboneWithFPN:
    """:func:`resnet_fpn` with the last ``trainable_layers`` stages trained and the others frozen."""
    return resnet_fpn(freeze_resnet(backbone, trainable_layers), returned_layers, extra_blocks, norm_layer)


def resnet_fpn_backbone(
    *,
    backbone_name: str,
    weights: WeightsLike,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 3,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> BackboneWithFPN:
    """A ResNet with a feature pyramid.

    Args:
        backbone_name: name of any ResNet, ResNeXt or Wide ResNet.
        weights: weights, in any form that its builder accepts.
        norm_layer: norm of the ResNet.
        trainable_layers: number of trained stages, 0 to 5, counted from the last.
        returned_layers: stages, 1 to 4, that the pyramid is built on; by default all four.
        extra_blocks: module that adds levels to the pyramid; by default one level.

    Raises:
        InvalidArgument: a number is out of range, or the name is that of another kind of model.
    """
    resnet = zoo.get_model(backbone_name, weights=weights, norm_layer=norm_layer)
    if not isinstance(resnet, ResNet):
        raise InvalidArgument(f"{backbone_name!r} is a {type(resnet).__name__}; expected the name of a ResNet.")
    return resnet_extractor(resnet, trainable_layers, returned_layers, extra_blocks)


def retrieve_out_channels(model: nn.Module, size: tuple[int, int]) -> list[int]:
    """Number of channels of every map that ``model`` returns for an image of ``size``, (width, height)."""
    training = model.training
    parameter = next(model.parameters())
    with torch.no_grad():
        maps = model.eval()(parameter.new_zeros(1, 3, size[1], size[0]))
    model.train(training)
    return [m.shape[1] for m in (maps.values() if isinstance(maps, dict) else [maps])]


def mobilenet_stages(model: nn.Module) -> list[int]:
    """Indices of the first layer of each resolution in a MobileNet's ``features``, and of the last: [0, 2, 4, 7, 13,
    16]."""
    ends = [int(stage.path.removeprefix("features.")) for stage in zoo.feature_info(model)]
    return [0, *(end + 1 for end in ends[:-1]), ends[-1]]


def mobilenet_fpn(
    mobilenet: nn.Module,
    trainable: int = 6,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Norm | None = None,
) -> BackboneWithFPN:
    """A feature pyramid on a MobileNet; the arguments are those of :func:`mobilenet_extractor`."""
    features: Any = mobilenet.features
    stages = mobilenet_stages(mobilenet)
    freeze_mobilenet(features, stages, trainable)
    returned = [len(stages) - 2, len(stages) - 1] if returned_layers is None else sorted(returned_layers)
    if not set(returned) <= set(range(len(stages))):
        raise InvalidArgument(f"returned_layers is {returned_layers!r}; expected some of 0 to {len(stages) - 1}.")
    layers = [stages[i] for i in returned]
    return BackboneWithFPN(
        features,
        {str(layer): str(i) for i, layer in enumerate(layers)},
        [features[layer].out_channels for layer in layers],
        OUT_CHANNELS,
        extra_blocks,
        norm_layer,
    )


def mobilenet_backbone(
    *,
    backbone_name: str,
    weights: WeightsLike,
    fpn: bool,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 2,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> nn.Module:
    """A MobileNetV2 or V3, with a feature pyramid or with one map of 256 channels.

    Args:
        backbone_name: such as ``"mobilenet_v3_large"``.
        weights: weights, in any form that its builder accepts.
        fpn: whether to add a pyramid.
        norm_layer: norm of the MobileNet.
        trainable_layers: number of trained stages, counted from the last.
        returned_layers: stages, from 0, that the pyramid is built on; by default the last two.
        extra_blocks: module that adds levels to the pyramid; by default one level.

    Raises:
        InvalidArgument: a number is out of range.
    """
    mobilenet = zoo.get_model(backbone_name, weights=weights, norm_layer=norm_layer)
    return mobilenet_extractor(mobilenet, fpn, trainable_layers, returned_layers, extra_blocks)


def mobilenet_extractor(
    backbone: nn.Module,
    fpn: bool,
    trainable_layers: int,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    norm_layer: Norm | None = None,
) -> nn.Module:
    """:func:`mobilenet_backbone` for a MobileNet that is already built; ``norm_layer`` is the pyramid's."""
    if fpn:
        return mobilenet_fpn(backbone, trainable_layers, returned_layers, extra_blocks, norm_layer)
    features: Any = backbone.features
    freeze_mobilenet(features, mobilenet_stages(backbone), trainable_layers)
    single: Any = nn.Sequential(features, nn.Conv2d(features[-1].out_channels, OUT_CHANNELS, 1))
    single.out_channels = OUT_CHANNELS
    return single  # type: ignore[no-any-return]
