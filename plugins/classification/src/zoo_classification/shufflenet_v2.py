"""ShuffleNet V2: half of the channels pass each block unchanged, and shuffling mixes the halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import InvalidArgument
from zoo.nn import check_count, check_images, input_channels, linear_head
from zoo_classification.weights.shufflenet_v2 import (
    ShuffleNet_V2_X0_5_Weights,
    ShuffleNet_V2_X1_0_Weights,
    ShuffleNet_V2_X1_5_Weights,
    ShuffleNet_V2_X2_0_Weights,
)

torch.fx.wrap("interleave")


def interleave(a: Tensor, b: Tensor) -> Tensor:
    """Channels a₀ b₀ a₁ b₁ … of two [N, C, H, W]: concatenated and shuffled in two groups, in one copy."""
    # Stacking as below would lose the channels-last format. b's format decides: a may be a slice of wider features.
    if b.is_contiguous(memory_format=torch.channels_last):
        return torch.stack((a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)), dim=4).flatten(3).permute(0, 3, 1, 2)
    return torch.stack((a, b), dim=2).flatten(1, 2)


class InvertedResidual(nn.Module):
    """Two branches of half the channels each; at stride 1 the first one is the identity."""

    def __init__(self, inp: int, oup: int, stride: int) -> None:
        super().__init__()
        if stride not in (1, 2) or oup % 2 or (stride == 1 and inp != oup):
            raise InvalidArgument(
                f"a block from {inp} to {oup} channels with stride {stride} is not possible; expected an even number "
                "of output channels, and stride 2, or 1 with as many input channels."
            )
        self.stride = stride
        half = oup // 2

        def depthwise(channels: int) -> list[nn.Module]:
            return [self.depthwise_conv(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels)]

        def pointwise(channels: int) -> list[nn.Module]:
            return [nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True)]

        self.branch1 = nn.Sequential(*(depthwise(inp) + pointwise(inp) if stride == 2 else []))
        self.branch2 = nn.Sequential(*pointwise(inp if stride == 2 else half), *depthwise(half), *pointwise(half))

    @staticmethod
    def depthwise_conv(
        i: int, o: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> nn.Conv2d:
        """A depthwise convolution of ``i`` channels, to ``o`` channels."""
        return nn.Conv2d(i, o, kernel_size, stride, padding, bias=bias, groups=i)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = x.chunk(2, dim=1) if self.stride == 1 else (self.branch1(x), x)
        return x1, self.branch2(x2)

    def forward(self, x: Tensor) -> Tensor:
        return interleave(*self.branches(x))


class ShuffleNetV2(nn.Module):
    """Images [N, C, H, W] of any size → logits [N, num_classes].

    Args:
        stages_repeats: number of blocks in each of the three stages.
        stages_out_channels: channels of the stem, of the three stages and of the last convolution.
        num_classes: number of logits; 0 gives the pooled features instead.
        inverted_residual: the block, called with (input channels, output channels, stride).
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of images.
    """

    in_channels = input_channels("conv1")

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
        inverted_residual: Callable[[int, int, int], nn.Module] = InvertedResidual,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(stages_repeats) != 3 or len(stages_out_channels) != 5:
            raise InvalidArgument(
                f"stages_repeats is {stages_repeats!r} and stages_out_channels {stages_out_channels!r}; expected three "
                "and five numbers."
            )
        check_count("in_channels", in_channels, minimum=1)
        stem, *widths, last = stages_out_channels

        def conv(inp: int, oup: int, kernel_size: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inp, oup, kernel_size, stride, padding=kernel_size // 2, bias=False),
                nn.BatchNorm2d(oup),
                nn.ReLU(inplace=True),
            )

        def stage(inp: int, oup: int, repeats: int) -> nn.Sequential:
            first = inverted_residual(inp, oup, 2)
            return nn.Sequential(first, *(inverted_residual(oup, oup, 1) for _ in range(repeats - 1)))

        self.conv1 = conv(in_channels, stem, 3, stride=2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stage2 = stage(stem, widths[0], stages_repeats[0])
        self.stage3 = stage(widths[0], widths[1], stages_repeats[1])
        self.stage4 = stage(widths[1], widths[2], stages_repeats[2])
        self.conv5 = conv(widths[2], last, 1, stride=1)
        self.fc = linear_head(last, num_classes)
        self.feature_info = [
            Stage("conv1", stem, 2),
            Stage("maxpool", stem, 4),
            *(Stage(f"stage{i}", width, 2**i * 2) for i, width in enumerate(widths, start=2)),
        ]

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        return self._forward_impl(x)

    def _forward_impl(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


REPEATS = (4, 8, 4)
WIDTHS = {  # stem, stages 2 to 4, last convolution
    0.5: (24, 48, 96, 192, 1024),
    1.0: (24, 116, 232, 464, 1024),
    1.5: (24, 176, 352, 704, 1024),
    2.0: (24, 244, 488, 976, 2048),
}


@zoo.builder(ShuffleNet_V2_X0_5_Weights, head="fc", stem="conv1.0")
def shufflenet_v2_x0_5(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 ×0.5 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return ShuffleNetV2(REPEATS, WIDTHS[0.5], **kwargs)


@zoo.builder(ShuffleNet_V2_X1_0_Weights, head="fc", stem="conv1.0")
def shufflenet_v2_x1_0(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 ×1.0 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return ShuffleNetV2(REPEATS, WIDTHS[1.0], **kwargs)


@zoo.builder(ShuffleNet_V2_X1_5_Weights, head="fc", stem="conv1.0")
def shufflenet_v2_x1_5(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 ×1.5 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return ShuffleNetV2(REPEATS, WIDTHS[1.5], **kwargs)


@zoo.builder(ShuffleNet_V2_X2_0_Weights, head="fc", stem="conv1.0")
def shufflenet_v2_x2_0(**kwargs: Any) -> ShuffleNetV2:
    """ShuffleNetV2 ×2.0 from `ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design
    <https://arxiv.org/abs/1807.11164>`_."""
    return ShuffleNetV2(REPEATS, WIDTHS[2.0], **kwargs)
