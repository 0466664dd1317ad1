"""SqueezeNet: fire modules, which squeeze to few channels before the expensive 3×3 convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument, suggest
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels
from zoo_classification.weights.squeezenet import SqueezeNet1_0_Weights, SqueezeNet1_1_Weights

# stem width, stem kernel, squeeze width of every fire module ("pool": halve the resolution), smallest image
VERSIONS: dict[str, tuple[int, int, tuple[int | str, ...], int]] = {
    "1_0": (96, 7, (16, 16, 32, "pool", 32, 48, 48, 64, "pool", 64), 21),
    "1_1": (64, 3, (16, 16, "pool", 32, 32, "pool", 48, 48, 64, 64), 17),
}


class Fire(nn.Module):
    """1×1 squeeze, then 1×1 and 3×3 expansions side by side: [N, C, H, W] → [N, both expansions' planes, H, W]."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.inplanes = inplanes
        self.squeeze = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        return torch.cat(
            [self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1
        )


class SqueezeNet(nn.Module):
    """Images [N, C, H, W], at least 21×21 (version 1.0) or 17×17 (1.1) → logits [N, num_classes], never negative.

    Args:
        version: ``"1_0"``, the paper's, or ``"1_1"``: 2.4 times less computation, as accurate.
        num_classes: number of logits; 0 gives the 512 pooled features instead.
        dropout: probability, before the last convolution.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("features")

    def __init__(
        self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3
    ) -> None:
        super().__init__()
        if version not in VERSIONS:
            raise InvalidArgument(
                f"version is {version!r}; expected {' or '.join(map(repr, VERSIONS))}.{suggest(str(version), VERSIONS)}"
            )
        channels, kernel, fires, self.min_size = VERSIONS[version]
        check_count("in_channels", in_channels, 1)
        layers = [nn.Conv2d(in_channels, channels, kernel, stride=2), nn.ReLU(inplace=True)]
        self.feature_info = []
        stride = 2
        for squeeze in ("pool", *fires):
            if isinstance(squeeze, int):
                layers.append(Fire(channels, squeeze, 4 * squeeze, 4 * squeeze))
                channels = 8 * squeeze
            else:
                self.feature_info.append(Stage(f"features.{len(layers) - 1}", channels, stride))
                layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
                stride *= 2
        self.feature_info.append(Stage(f"features.{len(layers) - 1}", channels, stride))
        self.features = nn.Sequential(*layers)
        head = nn.Conv2d(channels, num_classes, 1) if check_count("num_classes", num_classes) else nn.Identity()
        self.classifier = nn.Sequential(
            nn.Dropout(check_probability("dropout", dropout)), head, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)
        )

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                if m is head:
                    nn.init.normal_(m.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, self.min_size):
            return torch.flatten(self.classifier(self.features(x)), 1)


@zoo.builder(SqueezeNet1_0_Weights, head="classifier.1", stem="features.0")
def squeezenet1_0(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0 from `SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size
    <https://arxiv.org/abs/1602.07360>`_."""
    return SqueezeNet("1_0", **kwargs)


@zoo.builder(SqueezeNet1_1_Weights, head="classifier.1", stem="features.0")
def squeezenet1_1(**kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1 from the authors' repository <https://github.com/forresti/SqueezeNet>: 2.4 times less computation
    than version 1.0 of `SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size
    <https://arxiv.org/abs/1602.07360>`_, and as accurate."""
    return SqueezeNet("1_1", **kwargs)
