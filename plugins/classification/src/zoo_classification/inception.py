"""Inception v3: factorised convolutions, 7×7 as 1×7 and 7×1, and an auxiliary classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels, linear_head
from zoo_classification.googlenet import BasicConv2d, from_imagenet_normalisation
from zoo_classification.weights.inception import Inception_V3_Weights

ConvBlock = Callable[..., nn.Module] | None  # None: BasicConv2d


class InceptionOutputs(NamedTuple):
    """What an Inception v3 with its auxiliary head returns in training; each [N, num_classes]."""

    logits: Tensor
    aux_logits: Tensor


class Mixed(nn.Module):
    """Branches side by side, joined along the channels."""

    def branches(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.branches(x), 1)


class InceptionA(Mixed):
    """On the 35×35 grid; figure 5 of the paper."""

    def __init__(self, in_channels: int, pool_features: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1 = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1 = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2 = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool = conv(in_channels, pool_features, kernel_size=1)

    def branches(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1)),
        ]


class InceptionB(Mixed):
    """From 35×35 to 17×17; figure 10."""

    def __init__(self, in_channels: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3 = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1 = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2 = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3 = conv(96, 96, kernel_size=3, stride=2)

    def branches(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch3x3(x),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            F.max_pool2d(x, 3, stride=2),
        ]


class InceptionC(Mixed):
    """On the 17×17 grid; figure 6."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        c7, row, column = (
            channels_7x7,
            {"kernel_size": (1, 7), "padding": (0, 3)},
            {"kernel_size": (7, 1), "padding": (3, 0)},
        )
        self.branch1x1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7_2 = conv(c7, c7, **row)
        self.branch7x7_3 = conv(c7, 192, **column)
        self.branch7x7dbl_1 = conv(in_channels, c7, kernel_size=1)
        self.branch7x7dbl_2 = conv(c7, c7, **column)
        self.branch7x7dbl_3 = conv(c7, c7, **row)
        self.branch7x7dbl_4 = conv(c7, c7, **column)
        self.branch7x7dbl_5 = conv(c7, 192, **row)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def branches(self, x: Tensor) -> list[Tensor]:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
            self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1)),
        ]


class InceptionD(Mixed):
    """From 17×17 to 8×8."""

    def __init__(self, in_channels: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2 = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1 = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2 = conv(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3 = conv(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4 = conv(192, 192, kernel_size=3, stride=2)

    def branches(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch3x3_2(self.branch3x3_1(x)),
            self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))),
            F.max_pool2d(x, 3, stride=2),
        ]


class InceptionE(Mixed):
    """On the 8×8 grid; figure 7."""

    def __init__(self, in_channels: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        row, column = {"kernel_size": (1, 3), "padding": (0, 1)}, {"kernel_size": (3, 1), "padding": (1, 0)}
        self.branch1x1 = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1 = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a = conv(384, 384, **row)
        self.branch3x3_2b = conv(384, 384, **column)
        self.branch3x3dbl_1 = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2 = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a = conv(384, 384, **row)
        self.branch3x3dbl_3b = conv(384, 384, **column)
        self.branch_pool = conv(in_channels, 192, kernel_size=1)

    def branches(self, x: Tensor) -> list[Tensor]:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(F.avg_pool2d(x, 3, stride=1, padding=1)),
        ]


class InceptionAux(nn.Module):
    """Auxiliary classifier: features [N, C, 17, 17] → logits [N, num_classes]."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: ConvBlock = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0 = conv(in_channels, 128, kernel_size=1)
        self.conv1 = conv(128, 768, kernel_size=5)
        self.fc = linear_head(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(F.avg_pool2d(x, 5, stride=3)))
        logits: Tensor = self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


class Inception3(nn.Module):
    """Images [N, C, H, W] → logits [N, num_classes]; in training :class:`InceptionOutputs`.

    The model is made for images of 299×299 and needs at least 75×75 pixels, in training with the auxiliary head
    299×299.

    Args:
        num_classes: number of logits; 0 gives the pooled features instead.
        aux_logits: build the auxiliary head. It is used in training only.
        transform_input: the images are normalised with ImageNet's mean and deviation, and the weights expect
            ``(x - 0.5) / 0.5``: convert them. True for the published weights.
        inception_blocks: classes to use for the convolutions, the modules A to E and the auxiliary head.
        init_weights: draw the weights from the original truncated normal; ``False`` leaves torch's initialisation.
        dropout: probability, before the last layer.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("Conv2d_1a_3x3")

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Sequence[Callable[..., nn.Module]] | None = None,
        init_weights: bool = True,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        conv, A, B, C, D, E, Aux = inception_blocks or (
            BasicConv2d,
            InceptionA,
            InceptionB,
            InceptionC,
            InceptionD,
            InceptionE,
            InceptionAux,
        )
        check_count("in_channels", in_channels, 1)
        self.aux_logits = aux_logits
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = conv(in_channels, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = A(192, 32, conv)
        self.Mixed_5c = A(256, 64, conv)
        self.Mixed_5d = A(288, 64, conv)
        self.Mixed_6a = B(288, conv)
        self.Mixed_6b = C(768, 128, conv)
        self.Mixed_6c = C(768, 160, conv)
        self.Mixed_6d = C(768, 160, conv)
        self.Mixed_6e = C(768, 192, conv)
        self.AuxLogits = Aux(768, num_classes, conv) if aux_logits else None
        self.Mixed_7a = D(768, conv)
        self.Mixed_7b = E(1280, conv)
        self.Mixed_7c = E(2048, conv)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear_head(2048, num_classes)
        self.feature_info = [
            Stage("Conv2d_2b_3x3", 64, 2),
            Stage("Conv2d_4a_3x3", 192, 4),
            Stage("Mixed_5d", 288, 8),
            Stage("Mixed_6e", 768, 16),
            Stage("Mixed_7c", 2048, 32),
        ]
        if init_weights:
            for name, m in self.named_modules():
                if isinstance(m, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(m.weight, std=0.001 if name == "AuxLogits.fc" else 0.1)

    def forward(self, x: Tensor) -> Tensor | InceptionOutputs:
        check_images(x, self.in_channels)
        with at_least(x, 299 if self.training and self.AuxLogits is not None else 75):
            return self.classify(self._transform_input(x))

    def _transform_input(self, x: Tensor) -> Tensor:
        return from_imagenet_normalisation(x) if self.transform_input else x

    def classify(self, x: Tensor) -> Tensor | InceptionOutputs:
        """Same as :meth:`forward`, for images that are already normalised as the weights expect."""
        auxiliary = self.AuxLogits if self.training else None
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        aux_logits = None if auxiliary is None else auxiliary(x)
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return logits if aux_logits is None else InceptionOutputs(logits, aux_logits)


@zoo.builder(
    Inception_V3_Weights,
    head=("fc", "AuxLogits.fc"),
    stem="Conv2d_1a_3x3.conv",
    ignore=("AuxLogits.",),
    told_by_file=lambda state: {} if any(key.startswith("Aux") for key in state) else {"aux_logits": False},
)
def inception_v3(**kwargs: Any) -> Inception3:
    """Inception v3 from `Rethinking the Inception Architecture for Computer Vision
    <https://arxiv.org/abs/1512.00567>`_. It expects 299×299 images.

    With published weights ``transform_input`` is True.
    """
    return Inception3(**kwargs)
