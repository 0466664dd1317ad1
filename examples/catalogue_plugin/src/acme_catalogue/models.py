"""Builders of the table's models, created on first access. ``Net`` stands for the other library."""

from torch import nn

import zoo
from acme_catalogue.plugin import CATALOGUE


class Net(nn.Sequential):
    def __init__(self, width: int, num_classes: int = 10) -> None:
        pooled = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(nn.Conv2d(3, width, 3, padding=1), *pooled, nn.Linear(width, num_classes))


def __getattr__(name: str):
    model = CATALOGUE.built_by(name)

    def build(**kwargs) -> Net:
        """A convolution, and a linear layer on its output."""
        return Net(CATALOGUE[model]["width"], **kwargs)

    build.__name__ = name
    return zoo.builder(CATALOGUE.enum(model), head="4")(build)
