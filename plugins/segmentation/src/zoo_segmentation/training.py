"""What training needs of semantic segmentation: class maps beside the pictures, and cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Weights
from zoo.contract import Trainable
from zoo.errors import InvalidArgument
from zoo_segmentation.losses import IGNORED, cross_entropy, segmentation_loss


class Preparation:
    """The weights' own preprocessing of a picture; its class map in the size that comes of it."""

    def __init__(self, transform: Callable[[Any], Tensor]) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        prepared = self.transform(image)
        mask: Tensor = target["mask"]
        if mask.shape != prepared.shape[-2:]:
            size = (int(prepared.shape[-2]), int(prepared.shape[-1]))
            mask = F.interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0].long()
        return prepared, mask


class Training(Trainable):
    """The piece of semantic segmentation for ``"train"``."""

    def prepare(self, model: nn.Module, weights: Weights) -> Preparation:
        if weights.transforms is None:
            raise InvalidArgument("The weights name no preprocessing; give zoo.Weights(transforms=zoo.Preset(…)).")
        return Preparation(weights.transforms())

    def collate(self, examples: Sequence[tuple[Tensor, Tensor]]) -> tuple[tuple[Tensor], Tensor]:
        """Pictures padded on the right and below to a common size, with pixels that do not count."""
        h, w = (max(image.shape[side] for image, _ in examples) for side in (-2, -1))
        pads = [(0, w - image.shape[-1], 0, h - image.shape[-2]) for image, _ in examples]
        images = [F.pad(image, pad) for (image, _), pad in zip(examples, pads, strict=True)]
        masks = [F.pad(mask, pad, value=IGNORED) for (_, mask), pad in zip(examples, pads, strict=True)]
        return (torch.stack(images),), torch.stack(masks)

    def loss(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy over the pixels that count; that of the auxiliary head beside it, with a weight of 0.5."""
        return {"loss": segmentation_loss(model(*arguments), targets)}

    def score(self, model: nn.Module, arguments: tuple[Any, ...], targets: Tensor) -> dict[str, Tensor]:
        return {"loss": cross_entropy(model(*arguments)["out"], targets)}
