"""Properties of every transformer, tested on tiny ones: it is captured as one graph, works in half precision, autocast
and any memory format, and all its parameters are trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from small_models import SmallModels
from torch import nn

from zoo_classification.maxvit import MaxVit
from zoo_classification.swin_transformer import V2, swin
from zoo_classification.vision_transformer import VisionTransformer

# Sizes at which windows are shifted and images padded.
TINY: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "vit": (lambda: VisionTransformer(32, 8, 2, 2, 16, 24, num_classes=5), (32, 32)),
    "swin": (lambda: swin(8, [2, 2], [1, 2], 4, 0.0, num_classes=5), (44, 44)),
    "swin_v2": (lambda: swin(8, [2, 2], [1, 2], 4, 0.0, num_classes=5, **V2), (44, 44)),
    "maxvit": (lambda: MaxVit(32, 8, 2, [8, 16], [1, 2], 4, 0.0, num_classes=5), (32, 32)),
}


class TestTransformers(SmallModels):
    small = TINY

    def test_images_of_a_batch_do_not_mix(self, model: nn.Module) -> None:
        x = self.batch(model, 3)
        torch.testing.assert_close(model(x), torch.cat([model(x[i : i + 1]) for i in range(3)]))

    def test_channels_last(self, model: nn.Module) -> None:
        x = self.batch(model, 2)
        want = model(x)
        model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(x.to(memory_format=torch.channels_last)), want)
