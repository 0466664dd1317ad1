"""VGG: five stages of 3×3 convolutions, with batch norm or without, and three linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels, linear_head
from zoo_classification.weights.vgg import (
    VGG11_BN_Weights,
    VGG11_Weights,
    VGG13_BN_Weights,
    VGG13_Weights,
    VGG16_BN_Weights,
    VGG16_Weights,
    VGG19_BN_Weights,
    VGG19_Weights,
)

# Convolutions in each of the five stages, under the letters of the paper's Table 1.
A = (1, 1, 2, 2, 2)
B = (2, 2, 2, 2, 2)
D = (2, 2, 3, 3, 3)
E = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)
# The same in the form that :func:`make_layers` takes.
cfgs: dict[str, list[int | str]] = {
    letter: [layer for n, width in zip(depths, WIDTHS, strict=True) for layer in [*[width] * n, "M"]]  # type: ignore[misc]
    for letter, depths in {"A": A, "B": B, "D": D, "E": E}.items()
}


def make_layers(cfg: Sequence[int | str], batch_norm: bool = False, in_channels: int = 3) -> nn.Sequential:
    """Features of a VGG: a number adds a 3×3 convolution with that many channels, ``"M"`` halves the resolution."""
    layers: list[nn.Module] = []
    for width in cfg:
        if isinstance(width, int):
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), *norm, nn.ReLU(inplace=True)]
            in_channels = width
        else:
            layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """Images [N, C, H, W], at least 32×32 → logits [N, num_classes].

    Args:
        features: images → [N, 512, H', W'], as from :func:`make_layers`; or the number of 3×3 convolutions in
            each of the five stages, which have 64, 128, 256, 512 and 512 channels.
        num_classes: number of logits; 0 gives the 4,096 features before the last layer instead.
        init_weights: draw the weights as the published models did; ``False`` leaves torch's initialisation.
        dropout: probability, after each of the first two linear layers.
        batch_norm: add a batch norm after every convolution. This and ``in_channels`` apply if ``features`` is numbers.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        features: nn.Module | Sequence[int],
        num_classes: int = 1000,
        init_weights: bool = True,
        dropout: float = 0.5,
        batch_norm: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        if not isinstance(features, nn.Module):
            if len(features) != 5:
                raise InvalidArgument(
                    f"features is {features!r}; expected a module, or the numbers of convolutions in the five stages."
                )
            cfg: list[int | str] = []
            for width, depth in zip(WIDTHS, features, strict=True):
                cfg += [*[width] * depth, "M"]
            features = make_layers(cfg, batch_norm, check_count("in_channels", in_channels, 1))
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            linear_head(4096, num_classes),
        )
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, std=0.01)
                if isinstance(m, nn.Conv2d | nn.Linear):
                    nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    @property
    def feature_info(self) -> list[Stage]:
        """For features as from :func:`make_layers`: the input of every halving from the second on, and the last
        layer."""
        stages, width = [], 0
        for i, layer in enumerate(self.features.children()):
            width = layer.out_channels if isinstance(layer, nn.Conv2d) else width
            if isinstance(layer, nn.MaxPool2d):
                stages.append((i, width))
        return [Stage(f"features.{i - 1}", width, 2**n) for n, (i, width) in enumerate(stages) if n] + [
            Stage(f"features.{i}", width, 2 ** len(stages)) for i, width in stages[-1:]
        ]

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, 32):
            logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def lettered(cfg: str, batch_norm: bool, **kwargs: Any) -> VGG:
    """The network with this letter in the paper's table: A, B, D or E."""
    return VGG(make_layers(cfgs[cfg], batch_norm), **kwargs)


@zoo.builder(VGG11_Weights, head="classifier.6", stem="features.0")
def vgg11(**kwargs: Any) -> VGG:
    """VGG-11 (configuration A) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(A, **kwargs)


@zoo.builder(VGG11_BN_Weights, head="classifier.6", stem="features.0")
def vgg11_bn(**kwargs: Any) -> VGG:
    """VGG-11 with batch norm (configuration A) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(A, batch_norm=True, **kwargs)


@zoo.builder(VGG13_Weights, head="classifier.6", stem="features.0")
def vgg13(**kwargs: Any) -> VGG:
    """VGG-13 (configuration B) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(B, **kwargs)


@zoo.builder(VGG13_BN_Weights, head="classifier.6", stem="features.0")
def vgg13_bn(**kwargs: Any) -> VGG:
    """VGG-13 with batch norm (configuration B) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(B, batch_norm=True, **kwargs)


@zoo.builder(VGG16_Weights, head="classifier.6", stem="features.0")
def vgg16(**kwargs: Any) -> VGG:
    """VGG-16 (configuration D) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(D, **kwargs)


@zoo.builder(VGG16_BN_Weights, head="classifier.6", stem="features.0")
def vgg16_bn(**kwargs: Any) -> VGG:
    """VGG-16 with batch norm (configuration D) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(D, batch_norm=True, **kwargs)


@zoo.builder(VGG19_Weights, head="classifier.6", stem="features.0")
def vgg19(**kwargs: Any) -> VGG:
    """VGG-19 (configuration E) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(E, **kwargs)


@zoo.builder(VGG19_BN_Weights, head="classifier.6", stem="features.0")
def vgg19_bn(**kwargs: Any) -> VGG:
    """VGG-19 with batch norm (configuration E) from `Very Deep Convolutional Networks for Large-Scale Image Recognition
    <https://arxiv.org/abs/1409.1556>`_."""
    return VGG(E, batch_norm=True, **kwargs)
