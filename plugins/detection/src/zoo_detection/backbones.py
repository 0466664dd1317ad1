"""Backbones: a classification model up to its last feature maps, and a feature pyramid on top."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

import zoo
from zoo.errors import InvalidArgument
from zoo.nn import FrozenBatchNorm2d, check_count
from zoo.nn.fpn import ExtraFPNBlock, FeaturePyramidNetwork, LastLevelMaxPool
from zoo_classification.resnet import ResNet

OUT_CHANNELS = 256  # of every level of the pyramid

Norm = Callable[[int], nn.Module]


class IntermediateLayers(nn.ModuleDict):
    """The first children of a model, run one after the other: images [N, C, H, W] → name → feature map.

    The children keep their names and there is nothing else, so the keys of published files fit.

    Args:
        model: whose children follow one another; those after the last that is wanted are left out.
        return_layers: name of a child → name of its output.
    """

    def __init__(self, model: nn.Module, return_layers: Mapping[str, str]) -> None:
        children = dict(model.named_children())
        if missing := set(return_layers) - set(children):
            raise InvalidArgument(f"return_layers names {', '.join(missing)}; the children are {', '.join(children)}.")
        end = max(list(children).index(child) for child in return_layers) + 1
        super().__init__(dict(list(children.items())[:end]))
        self.return_layers = dict(return_layers)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x, found = images, {}
        for child, module in self.items():
            x = module(x)
            if child in self.return_layers:
                found[self.return_layers[child]] = x
        return found


class FPNBackbone(nn.Module):
    """Feature maps, and a pyramid on top of them: [N, C, H, W] → name → [N, ``out_channels``, H', W'], finest first.

    Args:
        body: images → name → feature map.
        in_channels_list: channels of each of those.
        extra_blocks: adds levels; by default one, which takes every other pixel of the coarsest.
        norm_layer: in the pyramid; by default none.
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
    """:class:`FPNBackbone` on the children of a model: ``return_layers`` says which, and how their outputs are called.

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


def backbone_norm(weights_backbone: Any, frozen_norm_eps: float | None) -> Norm:
    """The published rule: batch norm is frozen if the model or its backbone starts from weights, and else ordinary.

    Args:
        weights_backbone: the backbone's, or None.
        frozen_norm_eps: the whole model's entry asks for frozen batch norm with this eps.
    """
    if weights_backbone is None and frozen_norm_eps is None:
        return nn.BatchNorm2d
    return partial(FrozenBatchNorm2d, eps=1e-5 if frozen_norm_eps is None else frozen_norm_eps)


def trainable_layers(given: int | None, trained: bool, default: int, most: int) -> int:
    """How many of a backbone's stages are trained, from the last: as given, else all unless it starts from weights."""
    if given is None:
        return default if trained else most
    if check_count("trainable_backbone_layers", given) > most:
        raise InvalidArgument(f"trainable_backbone_layers is {given}; this backbone has {most} stages.")
    return given


def freeze(*modules: nn.Module) -> None:
    for module in modules:
        module.requires_grad_(False)


def resnet_fpn(
    resnet: ResNet,
    trainable: int = 5,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
    fpn_norm_layer: Norm | None = None,
) -> BackboneWithFPN:
    """A feature pyramid on a ResNet; the arguments are those of :func:`resnet_fpn_backbone`."""
    if trainable not in range(6):
        raise InvalidArgument(f"trainable_layers is {trainable!r}; expected 0 to 5.")
    stages = [resnet.conv1, resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
    freeze(*stages[: 5 - trainable])
    if trainable < 5:
        freeze(resnet.bn1)
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
        fpn_norm_layer,
    )


def resnet_fpn_backbone(
    *,
    backbone_name: str,
    weights: Any,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 3,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> BackboneWithFPN:
    """A ResNet with a feature pyramid.

    Args:
        backbone_name: of any ResNet, ResNeXt or Wide ResNet.
        weights: as its builder takes them.
        norm_layer: in the ResNet.
        trainable_layers: stages that are trained, 0 to 5, counted from the last.
        returned_layers: stages, 1 to 4, that the pyramid is built on; by default all four.
        extra_blocks: adds levels to the pyramid; by default one.

    Raises:
        InvalidArgument: a number out of range, or the name of another model.
    """
    resnet = zoo.get_model(backbone_name, weights=weights, norm_layer=norm_layer)
    if not isinstance(resnet, ResNet):
        raise InvalidArgument(f"{backbone_name!r} is a {type(resnet).__name__}; expected the name of a ResNet.")
    return resnet_fpn(resnet, trainable_layers, returned_layers, extra_blocks)


def mobilenet_stages(model: nn.Module) -> list[int]:
    """Where each resolution begins among a MobileNet's ``features``, and their last layer: [0, 2, 4, 7, 13, 16]."""
    ends = [int(stage.path.removeprefix("features.")) for stage in zoo.feature_info(model)]
    return [0, *(end + 1 for end in ends[:-1]), ends[-1]]


def freeze_mobilenet(features: nn.Sequential, stages: Sequence[int], trainable: int) -> None:
    """Freeze what comes before the last ``trainable`` of the stages that begin at ``stages``."""
    if trainable not in range(len(stages) + 1):
        raise InvalidArgument(f"trainable_layers is {trainable!r}; expected 0 to {len(stages)}.")
    freeze(features[: len(features) if trainable == 0 else stages[-trainable]])


def mobilenet_fpn(
    mobilenet: nn.Module,
    trainable: int = 6,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> BackboneWithFPN:
    """A feature pyramid on a MobileNet; the arguments are those of :func:`mobilenet_backbone`."""
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
    )


def mobilenet_backbone(
    *,
    backbone_name: str,
    weights: Any,
    fpn: bool,
    norm_layer: Norm = FrozenBatchNorm2d,
    trainable_layers: int = 2,
    returned_layers: Sequence[int] | None = None,
    extra_blocks: ExtraFPNBlock | None = None,
) -> nn.Module:
    """A MobileNetV2 or V3, with a feature pyramid or with one map of 256 channels.

    Args:
        backbone_name: such as ``"mobilenet_v3_large"``.
        weights: as its builder takes them.
        fpn: with a pyramid.
        norm_layer: in the MobileNet.
        trainable_layers: stages that are trained, counted from the last.
        returned_layers: stages, from 0, that the pyramid is built on; by default the last two.
        extra_blocks: adds levels to the pyramid; by default one.

    Raises:
        InvalidArgument: a number out of range.
    """
    mobilenet = zoo.get_model(backbone_name, weights=weights, norm_layer=norm_layer)
    if fpn:
        return mobilenet_fpn(mobilenet, trainable_layers, returned_layers, extra_blocks)
    features: Any = mobilenet.features
    freeze_mobilenet(features, mobilenet_stages(mobilenet), trainable_layers)
    single: Any = nn.Sequential(features, nn.Conv2d(features[-1].out_channels, OUT_CHANNELS, 1))
    single.out_channels = OUT_CHANNELS
    return single  # type: ignore[no-any-return]


def any_backbone(
    model: str | nn.Module,
    weights: Any,
    trainable: int | None,
    config: Mapping[str, Any],
    *,
    levels: int,
    extra_blocks: ExtraFPNBlock | None = None,
) -> FPNBackbone:
    """Any model with stages, and a feature pyramid on the last ``levels`` of them.

    What the model has after its last stage has no part in the output; it is frozen, since it would get no gradient.

    Raises:
        InvalidArgument: the model has no stages; or it is built already, and there are arguments for its builder.
    """
    if isinstance(model, nn.Module) and (config or weights is not None):
        raise InvalidArgument(
            f"weights_backbone={weights!r} and {', '.join(config) or 'nothing else'} are arguments of the backbone's "
            "builder, and the backbone is built. Give its name, or leave them out."
        )
    stages = zoo.feature_info(model, **config) if isinstance(model, str) else zoo.feature_info(model)
    indices = range(max(0, len(stages) - levels), len(stages))
    body = zoo.backbone(model, weights=weights, out_indices=indices, trainable_layers=trainable, **config)
    network, last = body.body.model, body.stages[-1].path
    names = [name for name, _ in network.named_modules()]
    end = max(i for i, name in enumerate(names) if name == last or name.startswith(f"{last}."))
    freeze(*(network.get_submodule(name) for name in names[end + 1 :]))
    return FPNBackbone(body, body.out_channels, OUT_CHANNELS, extra_blocks)
