"""AlexNet, in the one-column form of the later paper."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.contract import Stage
from zoo.nn import at_least, check_count, check_images, check_probability, input_channels, linear_head
from zoo_classification.weights.alexnet import AlexNet_Weights


class AlexNet(nn.Module):
    """Five convolutions and three linear layers: images [N, C, H, W], at least 63×63 → logits [N, num_classes].

    Args:
        num_classes: number of logits; 0 gives the 4,096 features before the last layer instead.
        dropout: probability, before each of the first two linear layers.
        in_channels: number of channels of the images.

    Raises:
        InvalidArgument: an argument is out of range, or the input is not a batch of large enough images.
    """

    in_channels = input_channels("features")

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        check_count("in_channels", in_channels, 1)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.feature_info = [
            Stage("features.1", 64, 4),
            Stage("features.4", 192, 8),
            Stage("features.11", 256, 16),
            Stage("features.12", 256, 32),
        ]
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            linear_head(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.in_channels)
        with at_least(x, 63):
            logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


@zoo.builder(AlexNet_Weights, head="classifier.6", stem="features.0")
def alexnet(**kwargs: Any) -> AlexNet:
    """AlexNet from `One weird trick for parallelizing convolutional neural networks
    <https://arxiv.org/abs/1404.5997>`_."""
    return AlexNet(**kwargs)
