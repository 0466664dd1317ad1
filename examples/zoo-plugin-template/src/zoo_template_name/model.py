"""ConvMixer: patches, then large depthwise convolutions mix locations and 1×1 convolutions mix channels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

import zoo
from zoo.nn import check_images, input_channels
from zoo_template_name.weights import ConvMixer_64_8_Weights


def conv(in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Sequential:
    """Convolution, GELU, batch norm, in the order of the paper."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, **options)
    return nn.Sequential(convolution, nn.GELU(), nn.BatchNorm2d(out_channels))


class Mixer(nn.Module):
    """Mixes locations with a residual connection, then channels: [N, C, H, W] → [N, C, H, W]."""

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.places = conv(width, width, kernel_size, groups=width, padding="same")
        self.channels = conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.channels(x + self.places(x))
        return mixed


class ConvMixer(nn.Module):
    """Images [N, C, H, W], of at least one patch → logits [N, num_classes].

    Args:
        width: number of channels of every layer.
        depth: number of mixers.
        kernel_size: kernel size of the depthwise convolutions.
        patch_size: side of a patch, in pixels.
        num_classes: number of logits.
        in_channels: number of channels of the images.
    """

    in_channels = input_channels("stem")  # of the current stem, which may be replaced

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        kernel_size: int = 5,
        patch_size: int = 4,
        num_classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.stem = conv(in_channels, width, patch_size, stride=patch_size)
        self.mixers = nn.Sequential(*(Mixer(width, kernel_size) for _ in range(depth)))
        self.head = nn.Linear(width, num_classes)
        # Layers that provide features, for zoo.backbone and zoo.feature_info.
        self.feature_info = [
            zoo.Stage("stem", width, patch_size),
            zoo.Stage("mixers", width, patch_size),
        ]

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.in_channels, self.patch_size)
        features = self.mixers(self.stem(images))
        logits: Tensor = self.head(features.mean((-2, -1)))
        return logits


# The decorator adds weights=, progress= and loading; the body is only the architecture.
@zoo.builder(ConvMixer_64_8_Weights, head="head", stem="stem.0")
def convmixer_64_8(*, width: int = 64, depth: int = 8, **kwargs: Any) -> ConvMixer:
    """ConvMixer-64/8 from `Patches Are All You Need? <https://arxiv.org/abs/2201.09792>`_."""
    return ConvMixer(width, depth, **kwargs)
