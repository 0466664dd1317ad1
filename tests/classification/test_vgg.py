"""The oldest families, VGG, AlexNet and SqueezeNet: configurations and invalid arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from zoo.errors import InvalidArgument
from zoo_classification.alexnet import AlexNet
from zoo_classification.squeezenet import SqueezeNet, squeezenet1_1
from zoo_classification.vgg import VGG


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VGG((1, 1, 1)), "five stages"),
        (lambda: VGG((1, 1, 1, 1, 1), dropout=-0.5), "dropout is -0.5"),
        (lambda: AlexNet(dropout=1.5), "dropout is 1.5"),
        (lambda: SqueezeNet("1_2"), "Did you mean '1_"),
        (lambda: SqueezeNet(num_classes=-1), "num_classes is -1"),
    ],
)
def test_bad_arguments_are_refused(build: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build()


def test_squeezenet_without_classes_pools_its_features() -> None:
    model = squeezenet1_1(num_classes=0).eval()
    x = torch.rand(2, 3, 65, 47)
    torch.testing.assert_close(model(x), model.features(x).mean((2, 3)))
    with pytest.raises(InvalidArgument, match="at least 17×17"):
        model(torch.rand(1, 3, 16, 32))
