"""GoogLeNet: inception modules, which process every position at several scales, and two auxiliary classifiers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.errors import WeightsWarning
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels, linear_head
from zoo_classification.weights.googlenet import GoogLeNet_Weights

# Channels: in, 1×1, reduction and 3×3, reduction and "5×5", projection after the pool.
MODULES = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNetOutputs(NamedTuple):
    """What a GoogLeNet with auxiliary heads returns in training; each [N, num_classes]."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU; ``options`` go to the convolution."""

    in_channels = input_channels("conv")

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Inception(nn.Module):
    """Four branches side by side. The third has 3×3 kernels, as in the trained weights, where the paper has 5×5."""

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3red: int,
        ch3x3: int,
        ch5x5red: int,
        ch5x5: int,
        pool_proj: int,
        conv_block: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        conv_block = conv_block or BasicConv2d
        self.branch1 = conv_block(in_channels, ch1x1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv_block(in_channels, ch3x3red, kernel_size=1), conv_block(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            conv_block(in_channels, ch5x5red, kernel_size=1), conv_block(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), conv_block(in_channels, pool_proj, kernel_size=1)
        )

    def branches(self, x: Tensor) -> list[Tensor]:
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.branches(x), 1)


class InceptionAux(nn.Module):
    """Auxiliary classifier: features [N, C, H, W] → logits [N, num_classes]."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        conv_block: Callable[..., nn.Module] | None = None,
        dropout: float = 0.7,
    ) -> None:
        super().__init__()
        self.conv = (conv_block or BasicConv2d)(in_channels, 128, kernel_size=1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = linear_head(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.conv(F.adaptive_avg_pool2d(x, 4)), 1)
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(x))))
        return logits


class GoogLeNet(nn.Module):
    """Images [N, C, H, W], at least 15×15 → logits [N, num_classes]; in training :class:`GoogLeNetOutputs`.

    Args:
        num_classes: number of logits; 0 gives the pooled features instead.
        aux_logits: build the two auxiliary heads. They are used in training only.
        transform_input: the images are normalised with ImageNet's mean and deviation, and the weights expect
            ``(x - 0.5) / 0.5``: convert them. True for the published weights.
        init_weights: draw the weights from the paper's truncated normal; ``False`` leaves torch's initialisation.
        blocks: classes to use for the convolutions, the inception modules and the auxiliary heads.
        dropout: probability, before the last layer.
        dropout_aux: probability, before the last layer of the auxiliary heads.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("conv1")

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool = True,
        blocks: Sequence[Callable[..., nn.Module]] | None = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        check_probability("dropout_aux", dropout_aux)
        conv_block, inception_block, aux_block = blocks or (BasicConv2d, Inception, InceptionAux)
        check_count("in_channels", in_channels, 1)
        self.aux_logits = aux_logits
        self.transform_input = transform_input

        def inception(name: str) -> nn.Module:
            return inception_block(*MODULES[name], conv_block=conv_block)

        self.conv1 = conv_block(in_channels, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = conv_block(64, 64, kernel_size=1)
        self.conv3 = conv_block(64, 192, kernel_size=3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception("inception3a")
        self.inception3b = inception("inception3b")
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception("inception4a")
        self.inception4b = inception("inception4b")
        self.inception4c = inception("inception4c")
        self.inception4d = inception("inception4d")
        self.inception4e = inception("inception4e")
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = inception("inception5a")
        self.inception5b = inception("inception5b")
        self.aux1 = aux_block(512, num_classes, conv_block, dropout_aux) if aux_logits else None
        self.aux2 = aux_block(528, num_classes, conv_block, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = linear_head(1024, num_classes)
        self.feature_info = [
            Stage("conv1", 64, 2),
            Stage("conv3", 192, 4),
            Stage("inception3b", 480, 8),
            Stage("inception4e", 832, 16),
            Stage("inception5b", 1024, 32),
        ]
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(m.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        check_images(x, self.in_channels)
        with at_least(x, 15):
            return self.classify(self._transform_input(x))

    def _transform_input(self, x: Tensor) -> Tensor:
        return from_imagenet_normalisation(x) if self.transform_input else x

    def classify(self, x: Tensor) -> Tensor | GoogLeNetOutputs:
        """Same as :meth:`forward`, for images that are already normalised as the weights expect."""
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        aux1, aux2 = (self.aux1, self.aux2) if self.training else (None, None)
        x = self.inception4a(x)
        logits1 = None if aux1 is None else aux1(x)
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        logits2 = None if aux2 is None else aux2(x)
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return logits if logits1 is None or logits2 is None else GoogLeNetOutputs(logits, logits2, logits1)


def from_imagenet_normalisation(x: Tensor) -> Tensor:
    """Convert images normalised with ImageNet's statistics to mean 0.5 and deviation 0.5; channel i counts as RGB's i
    mod 3."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    channels = [x[:, i] * (std[i % 3] / 0.5) + (mean[i % 3] - 0.5) / 0.5 for i in range(x.shape[1])]
    return torch.stack(channels, 1)


def warn_of_untrained_heads(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Warn that the published file's auxiliary heads were never trained: they are useful only for fine-tuning."""
    if model.aux_logits and model.transform_input:  # as for the published entry; the user's own files do not set it
        warnings.warn(
            "GoogLeNet's published auxiliary heads are not trained: train them, or leave them out with "
            "aux_logits=False. To silence this: warnings.simplefilter('ignore', zoo.errors.WeightsWarning)",
            WeightsWarning,
            stacklevel=2,
        )
    return state_dict


@zoo.builder(
    GoogLeNet_Weights,
    head=("fc", "aux1.fc2", "aux2.fc2"),
    stem="conv1.conv",
    convert=warn_of_untrained_heads,
    ignore=("aux1.", "aux2."),
    told_by_file=lambda state: {} if any(key.startswith("aux") for key in state) else {"aux_logits": False},
)
def googlenet(**kwargs: Any) -> GoogLeNet:
    """GoogLeNet (Inception v1) from `Going Deeper with Convolutions <https://arxiv.org/abs/1409.4842>`_.

    With published weights ``aux_logits`` is False unless given, and ``transform_input`` is True.
    """
    return GoogLeNet(**kwargs)
