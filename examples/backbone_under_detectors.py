"""Use your own backbone in zoo's detectors and segmenters: one training step of each."""

from itertools import pairwise

import torch
from torch import nn

import zoo


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [3, 16, 32, 64, 128]
        self.stages = nn.Sequential(*(nn.Conv2d(a, b, 4, 4 if a == 3 else 2, 1) for a, b in pairwise(widths)))
        self.feature_info = [zoo.Stage(f"stages.{i}", widths[i + 1], 4 * 2**i) for i in range(4)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.stages(images)


images = torch.rand(2, 3, 128, 128)
target = {"boxes": torch.tensor([[16.0, 16.0, 96.0, 96.0]]), "labels": torch.tensor([1])}
for name in ("fasterrcnn", "retinanet", "fcos"):
    losses = zoo.get_model(name, backbone=Backbone(), num_classes=2)(list(images), [target] * 2)
    sum(losses.values()).backward()
    print(name, {key: round(loss.item(), 3) for key, loss in losses.items()})
segmenter = zoo.get_model("fcn", backbone=Backbone(), num_classes=2)
print("fcn", list(segmenter(images)["out"].shape))
