"""DenseNet: every layer sees the outputs of all layers before it in its block."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import zoo
from zoo.contract import Stage
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels, linear_head
from zoo_classification.weights.densenet import (
    DenseNet121_Weights,
    DenseNet161_Weights,
    DenseNet169_Weights,
    DenseNet201_Weights,
)


class DenseLayer(nn.Module):
    """Norm-ReLU-conv 1×1, norm-ReLU-conv 3×3: all feature maps so far → ``growth_rate`` new channels."""

    def __init__(
        self,
        num_input_features: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(num_input_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(num_input_features, bn_size * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = drop_rate
        self.memory_efficient = memory_efficient

    def bottleneck(self, *features: Tensor) -> Tensor:
        out: Tensor = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return out

    @contextlib.contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        # Checkpointing runs the bottleneck twice; the running statistics must count the batch only once.
        momentum, count = self.norm1.momentum, self.norm1.num_batches_tracked
        self.norm1.momentum = 0.0
        self.norm1.num_batches_tracked = None if count is None else count.clone()
        try:
            yield
        finally:
            self.norm1.momentum, self.norm1.num_batches_tracked = momentum, count

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        if self.memory_efficient and self.training and torch.is_grad_enabled():
            out: Tensor = checkpoint(
                self.bottleneck,
                *features,
                use_reentrant=False,
                context_fn=lambda: (contextlib.nullcontext(), self._statistics_kept()),
            )
        else:
            out = self.bottleneck(*features)
        out = self.conv2(self.relu2(self.norm2(out)))
        return F.dropout(out, self.drop_rate, self.training) if self.drop_rate else out


class DenseBlock(nn.ModuleDict):
    """``num_layers`` dense layers: [N, C, H, W] → [N, C + num_layers × growth_rate, H, W]."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        options = growth_rate, bn_size, drop_rate, memory_efficient
        super().__init__(
            {
                f"denselayer{i + 1}": DenseLayer(num_input_features + i * growth_rate, *options)
                for i in range(num_layers)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


class Transition(nn.Sequential):
    """Between two blocks: fewer channels, half the resolution."""

    def __init__(self, num_input_features: int, num_output_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_input_features)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(num_input_features, num_output_features, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)


class DenseNet(nn.Module):
    """Images [N, C, H, W], at least 29×29 for four blocks → logits [N, num_classes].

    Args:
        growth_rate: number of channels that each layer adds (k in the paper).
        block_config: number of layers in each block; all blocks but the last halve channels and resolution.
        num_init_features: number of channels of the first convolution.
        bn_size: width of the 1×1 convolutions, in multiples of ``growth_rate``.
        drop_rate: dropout probability of every layer's output.
        num_classes: number of logits; 0 gives the pooled features instead.
        memory_efficient: in training, recompute the concatenations in the backward pass instead of storing them, as in
            the `technical report <https://arxiv.org/abs/1707.06990>`_: memory grows linearly with depth instead of
            quadratically, a step takes longer, the result is the same. A step of DenseNet-121 on 8 images of 224 × 224
            takes 435 MB in addition to the model instead of 861 MB.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("features")

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_count("growth_rate", growth_rate, 1)
        check_count("bn_size", bn_size, 1)
        check_probability("drop_rate", drop_rate)
        check_count("in_channels", in_channels, 1)
        channels, stride = check_count("num_init_features", num_init_features, 1), 4
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.feature_info = [Stage("features.relu0", channels, 2)]
        for i, depth in enumerate(block_config, 1):
            layers[f"denseblock{i}"] = DenseBlock(depth, channels, bn_size, growth_rate, drop_rate, memory_efficient)
            channels += depth * growth_rate
            if i < len(block_config):
                self.feature_info.append(Stage(f"features.denseblock{i}", channels, stride))
                layers[f"transition{i}"] = Transition(channels, channels // 2)
                channels, stride = channels // 2, stride * 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.feature_info.append(Stage("features.norm5", channels, stride))
        self.min_size = stride - 3  # the stem rounds up, the transitions down
        self.features = nn.Sequential(layers)
        self.classifier = linear_head(channels, num_classes)

        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            elif isinstance(m, nn.Linear):
                nn.init.zeros_(m.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, self.min_size):
            x = F.relu(self.features(x))
            logits: Tensor = self.classifier(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


def rename_old_keys(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename the published files' keys, such as ``denselayer3.norm.1.weight``, to the model's,
    ``denselayer3.norm1.weight``."""
    old = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key): value for key, value in state_dict.items()}


@zoo.builder(DenseNet121_Weights, head="classifier", stem="features.conv0", convert=rename_old_keys)
def densenet121(**kwargs: Any) -> DenseNet:
    """DenseNet-121 from `Densely Connected Convolutional Networks <https://arxiv.org/abs/1608.06993>`_."""
    return DenseNet(32, (6, 12, 24, 16), 64, **kwargs)


@zoo.builder(DenseNet161_Weights, head="classifier", stem="features.conv0", convert=rename_old_keys)
def densenet161(**kwargs: Any) -> DenseNet:
    """DenseNet-161 from `Densely Connected Convolutional Networks <https://arxiv.org/abs/1608.06993>`_."""
    return DenseNet(48, (6, 12, 36, 24), 96, **kwargs)


@zoo.builder(DenseNet169_Weights, head="classifier", stem="features.conv0", convert=rename_old_keys)
def densenet169(**kwargs: Any) -> DenseNet:
    """DenseNet-169 from `Densely Connected Convolutional Networks <https://arxiv.org/abs/1608.06993>`_."""
    return DenseNet(32, (6, 12, 32, 32), 64, **kwargs)


@zoo.builder(DenseNet201_Weights, head="classifier", stem="features.conv0", convert=rename_old_keys)
def densenet201(**kwargs: Any) -> DenseNet:
    """DenseNet-201 from `Densely Connected Convolutional Networks <https://arxiv.org/abs/1608.06993>`_."""
    return DenseNet(32, (6, 12, 48, 32), 64, **kwargs)
